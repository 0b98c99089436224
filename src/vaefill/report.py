"""The report in words: every sentence about the results is computed from the numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vaefill.reproduction import reproduction
from vaefill.results import MECHANISMS, Results
from vaefill.slides import SOURCE, Cell
from vaefill.tables import (
    CELLS,
    MECHANISM_NAMES,
    cell_numbers,
    comparison_table,
    elbo_table,
    number,
    params_table,
    percent,
    results_table,
    signed,
    verdict,
)

WHERE = {"random": "random pixels are missing", "square": "a square is missing"}
ANSWERS = {
    "better": "Yes: the t prior fills them in better",
    "worse": "No: the t prior fills them in worse",
    "no difference found": "No difference found",
    "cannot be told": "One seed cannot tell",
}
CAPTIONS = {
    "comparison": "Left and middle: each model's scores, one dot per seed, the bar the 95 % "
    "interval of their mean{slides}. Right: the change of the error from the Gaussian model to "
    "the t prior, paired by seed, relative to the Gaussian model's error.",
    "density": "The density of the t prior with {df} degrees of freedom against the normal "
    "density, per latent coordinate; on the right with a logarithmic axis, which shows the tails.",
    "training": "Loss per epoch. Thick lines are means over seeds, thin lines the seeds; the "
    "first epochs leave the axis at the top.",
    "reconstructions": "Test images without missing pixels, and what each model makes of them "
    "(seed {seed}).",
    "samples": "Images decoded from draws of each prior (seed {seed}).",
    "missing_random": "Random pixels missing (tinted). A prediction is the decoder's whole "
    "output; an imputation keeps the observed pixels (seed {seed}).",
    "missing_square": "A square missing (tinted); rows as above (seed {seed}).",
}


def render(results: Results, summary: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """Write the whole report as Markdown.

    Parameters
    ----------
    results : Results
        Every run's numbers.
    summary : dict
        What `vaefill.results.summarise` makes of them.
    params : dict
        The params that the runs were made with; ``dataset``, ``df`` and ``split`` are read, and
        all of them shown. Beside the slides stands only what was run on ``mnist``.
    """
    slides = params["dataset"] == "mnist"
    comparison = {"slides": "; a hollow diamond is the slides' value" if slides else ""}
    words = {"df": f"{params['df']:g}", "seed": results.seeds[0]}
    sections = [
        "# Does a t prior fill in missing pixels better than a Gaussian one?",
        answer(summary, n_seeds=len(results.seeds)),
        "## What was run",
        _what_was_run(results, params),
        "## The slides' table" if slides else "## The table",
        _table_note(results.seeds, slides=slides),
        results_table(results, summary, slides=slides),
        _figure("comparison", **comparison),
        "## What reproduces and what does not",
        reproduction(results, summary) if slides else _NO_SLIDES.format(**params),
        "## Test ELBO",
        _ELBO_NOTE,
        elbo_table(results, summary),
        "## Figures",
        *(_figure(name, **words) for name in CAPTIONS if name != "comparison"),
        "## How reliable these numbers are",
        _reliability(results.seeds),
    ]
    return "\n\n".join(sections) + "\n"


def readme_block(summary: Mapping[str, Any], *, n_seeds: int) -> str:
    """Write the answer and the compact table beside the slides, for a README.

    Parameters
    ----------
    summary : dict
        As ``summary.json`` holds it.
    n_seeds : int
        How many training runs of each model stand behind it.
    """
    return f"{answer(summary, n_seeds=n_seeds)}\n\n{comparison_table(summary)}"


def answer(summary: Mapping[str, Any], *, n_seeds: int) -> str:
    """Answer in plain words; a direction is named only where the interval excludes 0."""
    verdicts = {m: _verdict(summary, Cell(m, "imputation", "mse")) for m in MECHANISMS}
    if n_seeds == 1:
        headline = ANSWERS["cannot be told"] + "."
    elif len(set(verdicts.values())) == 1:
        headline = f"{ANSWERS[verdicts['random']]}, whether random pixels or a square are missing."
    else:
        headline = " ".join(f"{ANSWERS[v]} where {WHERE[m]}." for m, v in verdicts.items())
    counts = Counter(_verdict(summary, cell) for cell in CELLS)
    cells = ", ".join(f"{word} in {counts[word]}" for word in ANSWERS if counts[word])
    runs = (
        "one training run of each model"
        if n_seeds == 1
        else f"{n_seeds} training runs of each model, which differ in the seed alone"
    )
    return "\n".join(
        [
            f"**{headline}**",
            "",
            *(f"- {_sizes(summary, mechanism)}" for mechanism in MECHANISMS),
            f"- Over the table's {len(CELLS)} cells (MSE and SSIM of predictions and imputations), "
            f"the t prior is: {cells}."
            if n_seeds > 1
            else f"- {_WHY_NO_INTERVAL}",
            "",
            f"From {runs}. The two models differ in the latent distribution alone.",
        ]
    )


_WHY_NO_INTERVAL = (
    "A spread needs at least two seeds, so there is no interval, and nothing here can tell a "
    "difference between the models from chance."
)
_NO_SLIDES = (
    "The slides report MNIST and this is `{dataset}`: beside theirs these numbers would mean "
    "nothing, so only ours are shown."
)
_ELBO_NOTE = (
    "The evidence lower bound of test images without missing pixels: ELBO = reconstruction − KL, "
    "in nats per image. A higher ELBO is better. The KL is exact for both models, the "
    "reconstruction a mean over draws."
)


def _verdict(summary: Mapping[str, Any], cell: Cell) -> str:
    numbers = cell_numbers(summary, cell)
    return verdict(cell.metric, numbers["diff_low"], numbers["diff_high"])


def _sizes(summary: Mapping[str, Any], mechanism: str) -> str:
    """Give the sizes behind one verdict, absolute and relative."""
    numbers = summary[mechanism]["imputation"]["mse"]
    gauss, low, high = numbers["gauss"], numbers["diff_low"], numbers["diff_high"]
    text = (
        f"With {MECHANISM_NAMES[mechanism]} missing, the imputation's mean squared error is "
        f"{number('mse', gauss)} with the Gaussian model and {number('mse', numbers['t'])} with "
        f"the t prior: {signed('mse', numbers['diff'])} ({percent(numbers['diff'] / gauss)})"
    )
    if low is None:
        return f"{text}, with no interval, as there is one seed."
    bounds = f"{percent(low / gauss)} to {percent(high / gauss)}"
    return f"{text}, 95 % interval {bounds}: {verdict('mse', low, high)}."


def _table_note(seeds: Sequence[int], *, slides: bool) -> str:
    spread = " ± half the width of its 95 % interval" if len(seeds) > 1 else ""
    note = (
        f"Scores of whole test images; pixels in [0, 1]. Ours is the mean over {_seeds(seeds)}"
        f"{spread}; t − Gaussian is paired by seed. SSIM uses one window over the whole image, as "
        "the slides do; the last rows use scikit-image's 7 × 7 windows and are not comparable."
    )
    return f"{note} The slides' numbers are from {SOURCE}: one run of each." if slides else note


def _reliability(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return (
            f"One training run of each model ({_seeds(seeds)}) stands behind every number. "
            f"{_WHY_NO_INTERVAL} List more `seeds` in `params.yaml`."
        )
    return (
        f"{len(seeds)} training runs of each model ({_seeds(seeds)}) stand behind every number. "
        "The intervals are Student-t intervals over these seeds: they say how far the mean could "
        "move with other training runs, on the same test images with the same missing pixels. They "
        "are not intervals over images. The "
        f"{len(CELLS)} differences are {len(CELLS)} looks at the same runs: even between equal "
        "models, about one interval in 20 excludes 0 by chance."
    )


def _what_was_run(results: Results, params: Mapping[str, Any]) -> str:
    runs = results.runs.values()
    environments = _distinct(
        ", ".join(f"{name} {value}" for name, value in sorted(run["environment"].items()))
        for run in runs
    )
    split = params["split"]
    return (
        f"- Dataset `{params['dataset']}`: {split['test_size']:,} images for the test, "
        f"{split['valid_size']:,} for validation, the others for training.\n"
        f"- Trained with: {environments}.\n\n"
        f"<details><summary>All params</summary>\n\n{params_table(params)}\n\n</details>"
    )


def _distinct(texts: Any) -> str:
    return " and ".join(dict.fromkeys(texts))


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _figure(name: str, **words: Any) -> str:
    caption = CAPTIONS[name].format(**words)
    return f"![{name.replace('_', ' ')}](figures/{name}.png)\n\n*{caption}*"
