"""The ``pictwarden`` command: serves in one process, scans pictures, and checks policies, models and settings."""

import sys

if sys.platform == "win32":
    sys.exit("Pictwarden runs on Linux: on Windows, install it in WSL 2")
