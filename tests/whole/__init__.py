"""Complete studies and the wheel: one of each data set and one on a store in `make test-whole`, all in `make test-all`."""
