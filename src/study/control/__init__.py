"""The control: tables from models that are known, where the t must win, and where it must not."""
