"""Pictures that pict-rs has stored already, scanned."""

from serve_app.storage.door import Door, open_door
from serve_app.storage.hunting import Caught, Suspect, catch, sought_entries, suspects
from serve_app.storage.pending import rescan_pending
from serve_app.storage.rescan import Finding, Rescanner, Result

__all__ = [
    "Caught",
    "Door",
    "Finding",
    "Rescanner",
    "Result",
    "Suspect",
    "catch",
    "open_door",
    "rescan_pending",
    "sought_entries",
    "suspects",
]
