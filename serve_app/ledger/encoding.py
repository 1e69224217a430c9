"""Scores, places and fingerprints as bytes of a database, and keys made of digests."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve_app.domain import DIHEDRAL_HASHES, PDQ_BYTES, FrameFingerprint, ViewPlace

# The fastest: a higher level takes a tenth off, for several times the time.
_ZLIB_LEVEL = 1

# Of zlib's memory, which it clears before each of these few bytes: with all that it takes by default, that would cost
# seven times as much as to compress them.
_ZLIB_WINDOW_BITS, _ZLIB_MEMORY = 12, 4

_PLACE = struct.Struct("<I4d")  # frame, box
_FRAME = struct.Struct(f"<IB{DIHEDRAL_HASHES * PDQ_BYTES}s")  # frame, quality, hashes

# Float16 moved to the places of float32: 13 more bits of mantissa, three more copies of the sign, and an exponent that
# counts from elsewhere. What float16 has beyond its largest number, 65,504, are infinities and unknown scores.
_MORE_MANTISSA = 13
_WITHOUT_COPIED_SIGN = np.int32(~0x7000_0000)
_SCALE = np.float32(2.0**112)
_LEAST_NO_NUMBER = np.float32(65_536)


def key_of(*parts: Any) -> int:
    """64 bits of a digest over plain values: a key that every process makes alike, without asking the database."""
    canonical = json.dumps(parts, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    return int.from_bytes(hashlib.sha256(canonical).digest()[:8], "big", signed=True)


def body_key(sha256: str) -> bytes:
    """The sha256 of a body as bytes; a text that is none is a key that no body has."""
    try:
        return bytes.fromhex(sha256)
    except ValueError:
        return b""


def pack_values(values: NDArray[np.float32]) -> bytes:
    """Label scores as compressed float16: half of a step, which is the error, is at most 2**-12.

    All first bytes come before all second ones. Those have the sign and the exponent, and compress well.
    """
    numbers = np.ascontiguousarray(values, dtype="<f2")
    return _compressed(numbers.view(np.uint8).reshape(-1, 2).T.tobytes())


def unpack_values(packed: bytes, views: int) -> NDArray[np.float32]:
    """The label scores, ``(views, labels)``.

    Raises:
        ValueError: they are not of ``views`` views.
    """
    planes = zlib.decompress(packed)
    if len(planes) % (2 * views):
        raise ValueError(f"these are not the scores of {views} views")
    return unpack_planes(planes, 1, len(planes) // (2 * views))


def unpack_planes(planes: bytes, bodies: int, labels: int) -> NDArray[np.float32]:
    """The label scores, ``(views, labels)``, of bodies that have equally many views: each decompressed, one by one."""
    octets = np.frombuffer(planes, np.uint8).reshape(bodies, 2, -1)
    # Arithmetic on whole planes: to copy octets to every other place takes many times as long.
    numbers = np.left_shift(octets[:, 1], 8, dtype="<i2")
    numbers |= octets[:, 0]
    return _as_float32(numbers).reshape(-1, labels)


def _as_float32(float16: NDArray[np.int16]) -> NDArray[np.float32]:
    """The numbers that these 16 bits each are. ``astype`` converts one at a time, for three times as long."""
    bits = float16.astype(np.int32)
    bits <<= _MORE_MANTISSA
    bits &= _WITHOUT_COPIED_SIGN
    numbers = bits.view(np.float32)
    numbers *= _SCALE
    if numbers.size and max(numbers.max(), -numbers.min()) >= _LEAST_NO_NUMBER:
        unknown = np.abs(numbers) >= _LEAST_NO_NUMBER
        numbers[unknown] = float16[unknown].view("<f2")
    return numbers


def _compressed(content: bytes) -> bytes:
    compressor = zlib.compressobj(_ZLIB_LEVEL, zlib.DEFLATED, _ZLIB_WINDOW_BITS, _ZLIB_MEMORY)
    return compressor.compress(content) + compressor.flush()


def pack_places(places: Sequence[ViewPlace]) -> bytes:
    """Places, compressed."""
    return _compressed(b"".join(_PLACE.pack(each.frame, *each.box) for each in places))


def unpack_places(packed: bytes) -> tuple[ViewPlace, ...]:
    """The places."""
    return tuple(
        ViewPlace(frame, (left, top, right, bottom))
        for frame, left, top, right, bottom in _PLACE.iter_unpack(zlib.decompress(packed))
    )


def pack_fingerprints(fingerprints: Sequence[FrameFingerprint]) -> bytes:
    """Fingerprints, which do not compress."""
    return b"".join(_FRAME.pack(each.frame, each.quality, each.hashes) for each in fingerprints)


def unpack_fingerprints(packed: bytes) -> tuple[FrameFingerprint, ...]:
    """The fingerprints."""
    return tuple(FrameFingerprint(*fields) for fields in _FRAME.iter_unpack(packed))
