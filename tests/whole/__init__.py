"""Complete studies and the wheel: what takes longer, in `make test-all`."""
