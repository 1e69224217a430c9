"""Pictures that pict-rs has stored already, scanned."""

from serve_app.storage.catching import Catcher, Caught
from serve_app.storage.door import Door, open_door
from serve_app.storage.hunted import hunt_entry, hunted_to
from serve_app.storage.hunter import Hunter
from serve_app.storage.hunting import sought_entries, suspects
from serve_app.storage.pace import Pace
from serve_app.storage.pending import rescan_pending
from serve_app.storage.policy_hunting import PolicyHunt
from serve_app.storage.rescan import Finding, Rescanner, Result
from serve_app.storage.suspects import Suspect

__all__ = [
    "Catcher",
    "Caught",
    "Door",
    "Finding",
    "Hunter",
    "Pace",
    "PolicyHunt",
    "Rescanner",
    "Result",
    "Suspect",
    "hunt_entry",
    "hunted_to",
    "open_door",
    "rescan_pending",
    "sought_entries",
    "suspects",
]
