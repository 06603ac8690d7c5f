"""Measurements of the product, on real parts: `make help` says which."""
