"""The benchmark of `VAEImputer`: real tables, cells hidden on purpose, what fills them in."""
