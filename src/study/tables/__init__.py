"""The benchmark of `VAEImputer`: real tables, cells hidden on purpose, and what others make of it."""
