"""Parts of the imputer of tables; each module is one concept."""
