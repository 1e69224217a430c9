"""The pictures of pict-rs, through its internal API.

It lists what was uploaded, and what it has fetched from other servers, in whichever store the bytes are. Thumbnails and
other variants that pict-rs makes of a picture are not listed: they are purged with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from serve_app.domain import (
    FileChangedError,
    FileGoneError,
    FileUnreadableError,
    ListingError,
    PictrsRefusedError,
    PictrsUnavailableError,
    PictureGoneError,
    PictureSpoiltError,
    PictwardenError,
    PlaceLostError,
    SettingsError,
    StorageRefusedError,
    StorageUnavailableError,
    UnavailableError,
)
from serve_app.pictrs import HashPage, PictrsClient, StoredHash, StoredPicture, newest_first, stored_between
from serve_app.pictrs.client import PAGE
from serve_app.storage.scan.source import StoredFile, Wanted
from serve_app.storage.scan.stores.tries import with_tries

if TYPE_CHECKING:
    from serve_app.storage.scan.stores.hash_list import HashList

WALKS_IN_VAIN: Final = 3
"""Walks in a row that came no further than an earlier one, because others purge so much: then the listing fails."""


class PictrsSource:
    """:class:`~serve_app.storage.scan.source.Source` of one pict-rs.

    A file is a hash of pict-rs, and its name begins with the sha256. They come newest first: pict-rs has no other
    order. Where others purge so much that the place in the list is lost, it is listed again from its beginning, and
    files come twice.
    """

    def __init__(
        self,
        pictrs: PictrsClient,
        url: str,
        hash_list: HashList | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """``pictrs`` is at ``url``, and is closed with this. ``hash_list`` is for :meth:`quarantine`."""
        self._pictrs = pictrs
        self._url = url
        self._hash_list = hash_list
        self._sleep = sleep

    @property
    def url(self) -> str:
        """See the port."""
        return f"pictrs:{self._url}"

    @property
    def audit_name(self) -> str | None:
        """See the port."""
        return None

    async def count(self, wanted: Wanted) -> int | None:
        """None: pict-rs tells no number, and to list all takes about as long as to read it."""
        del wanted
        return None

    async def files(self, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
        """See the port.

        Raises:
            SettingsError: a prefix is wanted.
        """
        if wanted.prefix:
            raise SettingsError(
                f"pict-rs has no folders, so that no prefix ({wanted.prefix}) names any of its pictures: leave it out, "
                "or choose the latest ones with --since or --limit"
            )
        furthest, in_vain = 0, 0
        while True:
            listed = 0
            try:
                with _words():
                    async for part in self._walk(wanted):
                        listed += len(part)
                        yield part
            except PlaceLostError as error:
                in_vain = in_vain + 1 if listed <= furthest else 0
                furthest = max(furthest, listed)
                if in_vain == WALKS_IN_VAIN:
                    raise StorageUnavailableError(str(error)) from error
            else:
                return

    async def read(self, file: StoredFile, max_bytes: int) -> bytes:
        """See the port."""
        if not file.aliases:
            raise FileUnreadableError("no alias leads to it, so that pict-rs can neither show nor purge it")
        with _words():
            return await with_tries(lambda: self._pictrs.original(_picture(file), max_bytes), self._sleep, _is_passing)

    async def remove(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        """Purge it with all aliases; see the port."""
        self._require_same(file, sha256)
        with _words():
            removed = await self._pictrs.purge(_picture(file))
        if not removed:
            raise FileGoneError("pict-rs does not have the picture any more")
        return removed

    async def quarantine(self, file: StoredFile, sha256: str) -> tuple[str, ...]:
        """Deny it from now on, then purge it: it may be uploaded again meanwhile. The picture itself is kept nowhere.

        Raises as the port says.
        """
        self._require_same(file, sha256)
        if self._hash_list is None:
            raise StorageRefusedError("no list is open that quarantined pictures could be put on")
        try:
            await self._hash_list.deny(sha256, f"quarantined by a scan of {self.url}")
        except (UnavailableError, ListingError) as error:
            raise StorageUnavailableError(f"no list could take it: {error}") from error
        return await self.remove(file, sha256)

    async def close(self) -> None:
        """See the port."""
        await self._pictrs.close()

    async def page(self, *, slug: str | None = None, before: datetime | None = None, limit: int = PAGE) -> HashPage:
        """What a walk asks for: see :class:`~serve_app.pictrs.walking.Pages`."""
        return await with_tries(
            lambda: self._pictrs.page(slug=slug, before=before, limit=limit), self._sleep, _is_passing
        )

    async def _walk(self, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
        """In parts of a page: the walk has asked for one page more than it has handed out."""
        pictures = newest_first(self) if wanted.since is None else stored_between(self, wanted.since, None)
        part: list[StoredFile] = []
        async for picture in pictures:
            part.append(_listed(picture))
            if len(part) == PAGE:
                yield part
                part = []
        if part:
            yield part

    def _require_same(self, file: StoredFile, sha256: str) -> None:
        """pict-rs never stores other bytes under a hash, but its storage may send some."""
        if _hash(file).sha256 != sha256:
            raise FileChangedError(f"pict-rs sent other bytes of {file.name} than it has stored: see its log")


def _listed(picture: StoredPicture) -> StoredFile:
    return StoredFile(picture.hash.hex, picture.hash.length_bytes, version="", aliases=picture.aliases)


def _hash(file: StoredFile) -> StoredHash:
    return StoredHash.of_hex(file.name)


def _picture(file: StoredFile) -> StoredPicture:
    return StoredPicture(_hash(file), file.aliases)


def _is_passing(error: PictwardenError) -> bool:
    # A picture with other bytes than it should have stays as it is.
    return isinstance(error, PictrsUnavailableError) and not isinstance(error, PictureSpoiltError)


@contextlib.contextmanager
def _words() -> Iterator[None]:
    """Errors of pict-rs, in those of stores."""
    try:
        yield
    except PlaceLostError:
        raise
    except PictureGoneError as error:
        raise FileGoneError(str(error)) from error
    except PictureSpoiltError as error:
        raise FileUnreadableError(str(error)) from error
    except PictrsUnavailableError as error:
        raise StorageUnavailableError(str(error)) from error
    except PictrsRefusedError as error:
        raise StorageRefusedError(str(error)) from error
