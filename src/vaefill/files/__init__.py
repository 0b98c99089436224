"""Tables in files, batch by batch: memory does not grow with the number of rows."""
