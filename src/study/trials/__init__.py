"""Trials: what is run and scored."""
