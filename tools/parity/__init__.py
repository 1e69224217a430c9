"""Does our policy decide as horde-safety does? Both over the same pictures and the same weights: ``make parity``.

The package is licensed under the AGPL and lives in an environment of its own; nothing of it is in this repository.
"""
