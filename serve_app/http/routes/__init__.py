"""One file for each protocol that the application speaks, each with a ``router(...)``."""
