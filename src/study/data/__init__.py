"""Data: the image sets, where they come from, and how they are split."""
