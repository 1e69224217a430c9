"""Pictures that pict-rs has stored already, scanned."""

from serve_app.storage.door import Door, open_door
from serve_app.storage.pending import rescan_pending
from serve_app.storage.rescan import Finding, Rescanner, Result

__all__ = ["Door", "Finding", "Rescanner", "Result", "open_door", "rescan_pending"]
