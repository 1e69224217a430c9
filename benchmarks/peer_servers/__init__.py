"""CLIP's image tower behind other servers, for ``make bench-peers``.

Each module is a program for the environment of the peers (docs/benchmarks.md): it takes ``--port``, imports nothing of
Pictwarden, and answers POSTs of raw pictures. The frameworks' own settings are those that their documentation shows.
"""
