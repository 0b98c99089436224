"""What to do about the gaps in a table: imputers are tried on it, and a page says what for."""
