"""``python -m serve_app.cli``: the ``pictwarden`` command where its script is not on the path."""

from serve_app.cli.running import run

run()
