"""Timings, each a ratio against a named alternative or a share of a measured peak; run by hand or by `make bench`."""
