"""Missingness: mechanisms that hide pixels, mixtures of them, and checks of incomplete input."""
