"""The store of decisions: in memory, or in a database."""

from serve_app.ledger.memory import MemoryLedger
from serve_app.ledger.opening import OpenLedger, back_up, open_archive, open_ledger

__all__ = ["MemoryLedger", "OpenLedger", "back_up", "open_archive", "open_ledger"]
