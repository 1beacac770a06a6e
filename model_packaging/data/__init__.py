"""Versions of data: what changed between two, their description for others, and which one an endpoint stems from."""
