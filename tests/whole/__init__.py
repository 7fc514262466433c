"""Complete studies and the wheel: one study of photographs in `make test-whole`, all in `make test-all`."""
