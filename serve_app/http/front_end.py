"""What the application and the HTTP front end before it tell each other.

The front end refuses pictures itself for as long as the application says that it is full. Where it does not know
these headers they change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

FULL_FOR_HEADER = "X-Pictwarden-Full-For-Ms"
"""Of a refusal: for how many milliseconds the next pictures would be refused too."""

REFUSED_HEADER = "X-Pictwarden-Refused"
"""Of a request: how many pictures the front end has refused since the request before it."""

# More is no number that a front end counts up to between two requests.
_MAX_DIGITS = 9


def refused_before(headers: Mapping[str, str]) -> int:
    """How many pictures the front end refused before this request; 0 if it does not say so."""
    told = headers.get(REFUSED_HEADER, "")
    return int(told) if told.isascii() and told.isdecimal() and len(told) <= _MAX_DIGITS else 0
