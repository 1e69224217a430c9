"""The way through Lemmy's list of uploads, which can be asked for no alias: page by page, and always to an end."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from serve_app.lemmy.found import Page, Upload

MOST_PAGES: Final = 200
"""No more are asked for, whatever the list is like."""


class Pages(Protocol):
    """Of :class:`~serve_app.lemmy.api.Api` what is needed here."""

    @property
    def is_newest_first(self) -> bool:
        """Whether the list begins with the newest."""
        ...

    async def page(self, cursor: str | None) -> Page:
        """A page of the list."""
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """The uploads that were found.

    ``is_whole`` if all that were asked for are among them, or all that there are were read. If they were not, and the
    newest come first, ``back_to`` is the moment of the oldest that was read.
    """

    uploads: tuple[Upload, ...]
    is_whole: bool
    back_to: datetime | None = None


async def find_uploads(pages: Pages, aliases: Collection[str]) -> Listed:
    """The uploads with these aliases.

    The search ends when all are found, where the list ends, and after :data:`MOST_PAGES`. No decision says that older
    uploads need not be read: the first one may be erased, or the picture have been stored before anything was scanned.

    Raises:
        LemmyError: see :class:`~serve_app.lemmy.api.Api`.
    """
    missing, found = set(aliases), list[Upload]()
    cursor, asked, back_to = None, set[str | None](), None
    while missing and cursor not in asked and len(asked) < MOST_PAGES:
        asked.add(cursor)
        page = await pages.page(cursor)
        for each in page.uploads:
            if each.alias in missing:
                missing.remove(each.alias)
                found.append(each)
        if page.is_end:
            return Listed(tuple(found), is_whole=True)
        if pages.is_newest_first and page.uploads:
            back_to = page.uploads[-1].uploaded_at
        if page.cursor is None:
            break
        cursor = page.cursor
    return Listed(tuple(found), is_whole=not missing, back_to=back_to if missing else None)
