"""What `make` runs beside the pipeline."""
