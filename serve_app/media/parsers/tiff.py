"""Whether the end of a TIFF is missing: its decoder does not always tell that, or not from other damage."""

from __future__ import annotations

from collections.abc import Iterator

from serve_app.media.parsers.ifd import Tag, TagData
from serve_app.media.parsers.malformed import CutShortError, MalformedError

_MAX_PAGES = 1000
"""Of a TIFF; more than are read by any limit. Directories may point back at each other."""

_DATA_PLACES = ((273, 279), (324, 325), (513, 514))
"""Tags that hold where data lies, and those that hold its length: strips, tiles, a picture of JPEG's first kind."""


def is_whole_tiff(body: bytes) -> bool:
    """Whether everything is in ``body`` that its directories point at."""
    return all(end <= len(body) for end in _ends(body))


def _ends(body: bytes) -> Iterator[int]:
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
                yield from _ends_of_data(tags.get(places), tags.get(lengths))
            at = data.after(at)
    except CutShortError:
        yield behind
    except MalformedError:
        return  # no TIFF, or none that makes sense: the decoder will say so


def _ends_of_data(places: Tag | None, lengths: Tag | None) -> Iterator[int]:
    if places is not None and lengths is not None:
        yield from map(sum, zip(places.integers(), lengths.integers(), strict=False))
