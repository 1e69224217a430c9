"""How many replicas: from the delay that waits in them, not from how many requests they hold."""
