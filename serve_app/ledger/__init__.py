"""Decisions, kept. In memory for now: the store that outlives the process comes with the ledger's own issue."""

from serve_app.ledger.memory import MemoryLedger

__all__ = ["MemoryLedger"]
