"""``pictwarden check`` and ``canary``: pictures sent to a running service, and what it answers."""
