"""Reasons in the words of libraries and of other servers, fit to be sent to whoever carries notices."""

from __future__ import annotations

import re
from typing import Final

from serve_app.logs.redaction import redact

MOST_CHARACTERS: Final = 300

# Signatures and keys stand there, in URLs as well as in the bare paths that HTTP libraries tell.
_QUERY: Final = re.compile(r"(?<=[\w/.%-])\?[^\s\"'<>()]+")
_USER: Final = re.compile(r"(?<=://)[^\s/?#@\"']+@")


def fit_to_send(reason: str) -> str:
    """The first line of ``reason``, without secrets, user names and queries of URLs, and not too long."""
    lines = reason.strip().splitlines() or [""]
    # Before it is cut: nobody knows a half of a secret for one.
    plain = _USER.sub("", _QUERY.sub("", redact(lines[0]))).rstrip(" .:")
    return plain if len(plain) <= MOST_CHARACTERS else plain[: MOST_CHARACTERS - 1] + "…"
