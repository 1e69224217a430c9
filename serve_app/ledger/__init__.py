"""The store of decisions. In this version it is in memory, and ends with its process."""

from serve_app.ledger.memory import MemoryLedger

__all__ = ["MemoryLedger"]
