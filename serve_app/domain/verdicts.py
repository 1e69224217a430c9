"""What is said of a picture, and what is done with one that was not scanned."""

from __future__ import annotations

import enum


class Verdict(enum.StrEnum):
    """What a policy says of a picture that was looked at. ``FLAG`` keeps the picture and marks its decision."""

    ACCEPT = "accept"
    FLAG = "flag"
    REJECT = "reject"

    @property
    def severity(self) -> int:
        """0 for accept, 1 for flag, 2 for reject: the worst view of a picture is the one with the highest."""
        return ("accept", "flag", "reject").index(self.value)

    @property
    def keeps_picture(self) -> bool:
        """Whether the image server may keep a picture with this verdict."""
        return self is not Verdict.REJECT


class UnscannedReason(enum.StrEnum):
    """Why we could not look. The first four hold for these bytes for ever, the others only for now."""

    UNDECODABLE = "undecodable"
    TRUNCATED = "truncated"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    DEADLINE = "deadline"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"


class OnUnscanned(enum.StrEnum):
    """What to answer for a picture that we could not look at *now* (setting ``on_unscanned``)."""

    REJECT = "reject"
    ACCEPT = "accept"


class OnTruncated(enum.StrEnum):
    """What to do with a picture whose end is missing (setting ``truncated``, for each lane).

    pict-rs now and then sends the first part of a file and stores all of it, so an accepted part proves nothing.
    """

    REFUSE = "refuse"
    SCAN = "scan"
