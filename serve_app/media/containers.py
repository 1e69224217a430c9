"""What must be known of an ISO media file (AVIF, HEIF) before a decoder opens it."""

from __future__ import annotations


def has_iso_box(body: bytes, wanted: bytes) -> bool:
    """Whether an ISO media file has a box of this kind at its top, for instance ``moov``."""
    at = 0
    while at + 8 <= len(body):
        length = int.from_bytes(body[at : at + 4], "big")
        if body[at + 4 : at + 8] == wanted:
            return True
        if length == 1:
            length = int.from_bytes(body[at + 8 : at + 16], "big")
        if length < 8:
            return False  # to the end of the file, or nonsense
        at += length
    return False
