"""Whether the end of a WebP or a TIFF is missing: their decoders do not always tell it, or not from other damage.

JPEG, PNG, GIF and BMP are read in modules of their own, which know where the last part ends. The others' decoders are
asked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from serve_app.domain import TruncatedError
from serve_app.media.ifd import Tag, TagData

_MAX_PAGES = 1000
"""Of a TIFF; more than are read by any limit. Directories may point back at each other."""

_DATA_PLACES = ((273, 279), (324, 325), (513, 514))
"""Tags that hold where data lies, and those that hold its length: strips, tiles, a picture of JPEG's first kind."""


def require_whole(body: bytes, media_type: str) -> None:
    """Ask that everything is in ``body`` that it points at.

    Raises:
        TruncatedError: something lies behind the end of the file.
    """
    match media_type:
        case "image/webp":
            is_whole = 8 + int.from_bytes(body[4:8], "little") <= len(body)
        case "image/tiff":
            is_whole = all(end <= len(body) for end in _ends_in_tiff(body))
        case _:
            return
    if not is_whole:
        raise TruncatedError(f"the end of this {media_type} is missing")


def _ends_in_tiff(body: bytes) -> Iterator[int]:
    """Where everything ends that the directories point at, they themselves included."""
    behind = len(body) + 1
    try:
        data = TagData(body)
        at, seen = data.first_at, set[int]()
        while at and at not in seen and len(seen) < _MAX_PAGES:
            seen.add(at)
            tags = {tag.number: tag for tag in data.tags(at)}
            if any(tag.content is None for tag in tags.values()):
                yield behind
            for places, lengths in _DATA_PLACES:
                yield from _ends(tags.get(places), tags.get(lengths))
            at = data.after(at)
    except struct.error:
        yield behind
    except ValueError:
        return  # no TIFF, or none that makes sense: the decoder will say so


def _ends(places: Tag | None, lengths: Tag | None) -> Iterator[int]:
    if places is not None and lengths is not None:
        yield from map(sum, zip(places.integers(), lengths.integers(), strict=False))
