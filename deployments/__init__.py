"""Pictwarden on Ray Serve: a thin layer, and the only package that imports ray."""
