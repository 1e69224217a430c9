"""Walks over what is stored, newest first, while others upload and purge, and while the walker itself purges.

pict-rs answers a slug whose hash has been purged with the newest page, which would make a walk begin again, for ever
where the walker purges. So each page is fetched before the pictures of the page before it are handed out, and has to
begin with the hash that was asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Protocol

from serve_app.domain import PlaceLostError
from serve_app.pictrs.client import PAGE
from serve_app.pictrs.hashes import HashPage, StoredHash, StoredPicture


class Pages(Protocol):
    """What a walk asks of pict-rs; see :class:`~serve_app.pictrs.PictrsClient`."""

    async def page(self, *, slug: str | None = None, before: datetime | None = None, limit: int = PAGE) -> HashPage:
        """Some of what is stored, newest first."""
        ...


async def newest_first(pictrs: Pages, limit: int = PAGE) -> AsyncIterator[StoredPicture]:
    """Every stored picture; those that are stored meanwhile are left out.

    Each comes once, unless one that would have come next is purged and stored again at that very time.

    Args:
        pictrs: where they are.
        limit: how many are asked for at once.

    Raises:
        PlaceLostError: others have purged so much meanwhile that the place is lost: walk again.
    """
    async for page in _pages(pictrs, None, limit):
        for picture in page.pictures:
            yield picture


async def stored_between(
    pictrs: Pages, start: datetime, end: datetime | None, limit: int = PAGE
) -> AsyncIterator[StoredPicture]:
    """The pictures that were stored from ``start`` to ``end``, newest first, by pict-rs's clock.

    Without ``end`` the newest of all is the first. pict-rs does not say when a picture was stored, but which one was
    the newest at a moment: the walk ends there. If that one is purged meanwhile, the walk may hand out a few older
    pictures.

    Raises:
        PlaceLostError: as :func:`newest_first`.
    """
    async for page in _pages(pictrs, end, limit):
        # Asked for after each page, because this hash may be purged as well.
        older = {picture.hash for picture in (await pictrs.page(before=start, limit=1)).pictures}
        for picture in page.pictures:
            if picture.hash in older:
                return
            yield picture


async def _pages(pictrs: Pages, before: datetime | None, limit: int) -> AsyncIterator[HashPage]:
    page = await pictrs.page(before=before, limit=limit)
    newest = _hashes([page])
    latest: deque[HashPage] = deque(maxlen=2)
    while True:
        latest.append(page)
        following = None
        if page.next_slug is not None:
            following = await _page_at(pictrs, page.next_slug, limit, latest)
            if not newest.isdisjoint(_hashes([following])):
                # A hash that was purged and stored again is found, and is the newest now.
                raise _lost()
        yield page
        if following is None:
            return
        page = following


async def _page_at(pictrs: Pages, slug: str, limit: int, latest: Iterable[HashPage]) -> HashPage:
    """The page that begins with this hash; if it has been purged, what follows the latest hash that is still there."""
    page = await pictrs.page(slug=slug, limit=limit)
    if page.begins_at(slug):
        return page
    passed = [picture.hash for each in latest for picture in each.pictures]
    for hash_ in reversed(passed):
        page = await pictrs.page(slug=hash_.slug, limit=limit + 1)
        if page.begins_at(hash_.slug):
            rest = tuple(picture for picture in page.pictures if picture.hash not in passed)
            return HashPage(rest, page.next_slug)
    raise _lost()


def _hashes(pages: Iterable[HashPage]) -> set[StoredHash]:
    return {picture.hash for page in pages for picture in page.pictures}


def _lost() -> PlaceLostError:
    return PlaceLostError("so much was purged in pict-rs meanwhile that the place is lost: walk again")
