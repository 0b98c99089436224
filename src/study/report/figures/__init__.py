"""Figures: frames or arrays in, matplotlib figures out; nothing is saved here."""
