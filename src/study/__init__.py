"""The slides' study: data sets, trials and reports of the pipeline; stages import it from here."""
