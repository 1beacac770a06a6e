"""How fast the components are beside the same resources written by hand: `make bench`, or `python -m tests.bench`."""
