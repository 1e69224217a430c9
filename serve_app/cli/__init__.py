"""The ``pictwarden`` command: serves in one process, scans pictures, and checks policies, models and settings."""
