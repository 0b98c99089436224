"""People's own tables: the parts of the imputer, one concept each."""
