"""The two forms of a log line; apart from what formats them, so that settings need no library for it."""

from __future__ import annotations

import enum


class LogFormat(enum.StrEnum):
    """What a line is: a text, or a JSON object."""

    TEXT = "text"
    JSON = "json"
