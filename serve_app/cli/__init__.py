"""The ``pictwarden`` command: talks to a running service over HTTP, and checks policies."""
