"""Lemmy, asked by us: who uploaded a picture, which posts and comments show it, and to file a report."""

from serve_app.lemmy.client import LemmyClient, open_lemmy
from serve_app.lemmy.found import Brought, Shown, Upload
from serve_app.lemmy.reporting import REPORT, Reported, Reporter
from serve_app.lemmy.transport import TOKEN_ENV

__all__ = [
    "REPORT",
    "TOKEN_ENV",
    "Brought",
    "LemmyClient",
    "Reported",
    "Reporter",
    "Shown",
    "Upload",
    "open_lemmy",
]
