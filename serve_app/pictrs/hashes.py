"""How pict-rs names what it stores: a hash of 39 bytes, the aliases that lead to it, and pages of both."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SHA256_BYTES, _LENGTH_BYTES = 32, 6
_HASH_BYTES = _SHA256_BYTES + _LENGTH_BYTES + 1

TYPES = range(11)
"""The type bytes of pict-rs 0.5: animations in APNG, AVIF, GIF and WebP; AVIF, JPEG, JXL, PNG, WebP; MP4, WebM."""


@dataclass(frozen=True, slots=True)
class StoredHash:
    """pict-rs's name for stored bytes: their sha256, how many they are, and their type."""

    sha256: str
    length_bytes: int
    type: int

    @classmethod
    def of_bytes(cls, name: bytes) -> StoredHash:
        """Read the 39 bytes.

        Raises:
            ValueError: they are not 39.
        """
        if len(name) != _HASH_BYTES:
            raise ValueError(f"a hash of pict-rs is {_HASH_BYTES} bytes long; this one is {len(name)}")
        length = name[_SHA256_BYTES : _SHA256_BYTES + _LENGTH_BYTES]
        return cls(name[:_SHA256_BYTES].hex(), int.from_bytes(length, "big"), name[-1])

    @classmethod
    def of_hex(cls, text: str) -> StoredHash:
        """Read the field ``hex`` of a page.

        Raises:
            ValueError: it is none.
        """
        return cls.of_bytes(bytes.fromhex(text))

    @classmethod
    def of_etag(cls, etag: str) -> StoredHash | None:
        """Read the header of that name; None if it is not one of pict-rs's."""
        try:
            return cls.of_bytes(base64.b64decode(etag.removeprefix("W/").strip('"'), validate=True))
        except (ValueError, binascii.Error):
            return None

    @property
    def hex(self) -> str:
        """The field ``hex`` of a page: it begins with the sha256."""
        return f"{self.sha256}{self.length_bytes:0{2 * _LENGTH_BYTES}x}{self.type:02x}"

    @property
    def slug(self) -> str:
        """The name in the queries for pages."""
        return base64.urlsafe_b64encode(bytes.fromhex(self.hex)).decode("ascii")


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """Stored bytes and the aliases that lead to them. Without an alias they can be neither fetched nor purged."""

    hash: StoredHash
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HashPage:
    """Some of what is stored, newest first, and the slug of what comes next; None at the end."""

    pictures: tuple[StoredPicture, ...]
    next_slug: str | None

    @classmethod
    def of_json(cls, page: Mapping[str, Any]) -> HashPage:
        """Read the field ``page`` of an answer.

        Raises:
            ValueError: it has another form.
        """
        try:
            pictures = tuple(
                StoredPicture(StoredHash.of_hex(each["hex"]), tuple(map(str, each["aliases"])))
                for each in page["hashes"]
            )
            next_slug = page.get("next")
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("a page of hashes has another form") from error
        return cls(pictures, None if next_slug is None else str(next_slug))

    def begins_at(self, slug: str) -> bool:
        """Whether this is the page that was asked for: pict-rs answers an unknown slug with the newest page."""
        return bool(self.pictures) and self.pictures[0].hash.slug == slug
