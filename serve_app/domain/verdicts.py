"""Verdicts, the reasons for unscanned pictures, and the settings that decide about those."""

from __future__ import annotations

import enum


class Verdict(enum.StrEnum):
    """The policy's word on a scanned picture. ``FLAG`` lets the picture be stored and marks its decision."""

    ACCEPT = "accept"
    FLAG = "flag"
    REJECT = "reject"

    @property
    def severity(self) -> int:
        """0 for accept, 1 for flag, 2 for reject. The view with the highest severity decides."""
        return ("accept", "flag", "reject").index(self.value)

    @property
    def keeps_picture(self) -> bool:
        """Whether the image server may store a picture with this verdict."""
        return self is not Verdict.REJECT


class UnscannedReason(enum.StrEnum):
    """Why a picture was not scanned. The first four hold for these bytes for ever, the others only for now."""

    UNDECODABLE = "undecodable"
    TRUNCATED = "truncated"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    DEADLINE = "deadline"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"


class OnUnscanned(enum.StrEnum):
    """The answer for a picture that could not be scanned *now* (setting ``on_unscanned``)."""

    REJECT = "reject"
    ACCEPT = "accept"


class RescanMode(enum.StrEnum):
    """What the service does about pictures that it let through unscanned (setting ``rescan``)."""

    OFF = "off"
    REPORT = "report"
    """Scan them, and say which ones are rejected."""
    PURGE = "purge"
    """Remove those from pict-rs as well."""


class HuntMode(enum.StrEnum):
    """What the service does about accepted pictures that new entries or another policy reject (setting ``hunt``)."""

    OFF = "off"
    REPORT = "report"
    """Find them, and say which ones they are."""
    PURGE = "purge"
    """Remove them from pict-rs as well."""


class OnTruncated(enum.StrEnum):
    """The treatment of a picture whose end is missing (setting ``truncated``, for each lane).

    pict-rs sometimes sends the first part of a file and stores all of it, so that an accepted part proves nothing.
    """

    REFUSE = "refuse"
    SCAN = "scan"
