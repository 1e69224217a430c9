"""Pictures that are stored already: rescans of what was let through, hunts, and scans of whole stores."""

from serve_app.storage.door import Door, open_door
from serve_app.storage.hunt.audit import hunt_entry, hunted_to
from serve_app.storage.hunt.by_lists import sought_entries, suspects
from serve_app.storage.hunt.by_policy import PolicyHunt
from serve_app.storage.hunt.catching import Catcher, Caught
from serve_app.storage.hunt.hunter import Hunter
from serve_app.storage.hunt.pace import Pace
from serve_app.storage.hunt.suspects import Suspect
from serve_app.storage.pending import rescan_pending
from serve_app.storage.rescan import Finding, Rescanner, Result

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
