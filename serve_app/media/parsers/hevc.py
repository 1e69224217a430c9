"""Which pictures of an HEVC track are never shown, by the kinds of the units in its packets."""

from __future__ import annotations

# ITU-T H.265, table 7-1: pictures that cannot be shown if the one before which they come is where decoding begins.
_HEVC_SKIPPED = frozenset({8, 9})
_HEVC_BREAKS = frozenset({16, 17, 18})
_HEVC_CLEAN = 21
_HEVC_PICTURES = range(32)
_MAX_UNITS_BEFORE_PICTURE = 64


class LeadingPictures:
    """Finds the pictures that HEVC's decoders leave out after the point at which decoding begins (RASL).

    A video that was cut at such a point, without being coded anew, begins with some.
    """

    def __init__(self, configuration: bytes) -> None:
        """``configuration``: the decoder's, as the track has it (``hvcC``)."""
        is_length_prefixed = len(configuration) > 21 and configuration[0] == 1
        # ISO/IEC 14496-15, 8.3.3.1: bytes of each unit's length.
        self._length_bytes = (configuration[21] & 3) + 1 if is_length_prefixed else 0
        self._starts_here = True
        self._skips = False

    def is_skipped(self, packet: bytes) -> bool:
        """Whether no player shows the picture of this packet; asked for each in the order of the file."""
        kind = self._kind_of_picture(packet) if self._length_bytes else None
        if kind is None:
            return False
        if kind in _HEVC_SKIPPED:
            return self._skips
        if kind >= min(_HEVC_BREAKS):
            self._skips = kind in _HEVC_BREAKS or (kind == _HEVC_CLEAN and self._starts_here)
        self._starts_here = False
        return False

    def _kind_of_picture(self, data: bytes) -> int | None:
        at = 0
        for _ in range(_MAX_UNITS_BEFORE_PICTURE):
            if at + self._length_bytes >= len(data):
                break
            kind = data[at + self._length_bytes] >> 1 & 0x3F
            if kind in _HEVC_PICTURES:
                return kind
            at += self._length_bytes + int.from_bytes(data[at : at + self._length_bytes], "big")
        return None
