"""Fingerprints of frames, which list entries are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field

PDQ_BYTES = 32
"""A PDQ hash has 256 bits."""

DIHEDRAL_HASHES = 8
"""A square has eight symmetries: four turns, and their mirror images."""


@dataclass(frozen=True, slots=True)
class FrameFingerprint:
    """The PDQ of one reading of one frame. Sensitive: a blurred sketch of the frame can be made of it.

    Source: Facebook 2019, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm".

    ``hashes`` are :data:`DIHEDRAL_HASHES` hashes of :data:`PDQ_BYTES` each, one after the other: the frame as it is,
    and its seven turned and mirrored copies. ``quality`` is PDQ's own, 0 (featureless) to 100.
    """

    frame: int
    quality: int
    hashes: bytes = field(repr=False)

    @property
    def pdq(self) -> bytes:
        """The hash of the frame as it is."""
        return self.hashes[:PDQ_BYTES]
