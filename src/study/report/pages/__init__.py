"""One module per page: frames in, one dict out; the words are in `templates`."""
