"""Metrics: of images, of calibration, over seeds and images, and Rubin's rules; no torch."""
