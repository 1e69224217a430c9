"""A client of pict-rs's internal API: find, fetch, purge. For pict-rs 0.5; the docstrings name the traps."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator, Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from serve_app.domain import (
    PictrsRefusedError,
    PictrsUnavailableError,
    PictureGoneError,
    PictureSpoiltError,
    SettingsError,
    TooLargeError,
)
from serve_app.host.secret_files import read_secret
from serve_app.pictrs.hashes import TYPES, HashPage, StoredHash, StoredPicture
from serve_app.pictrs.references import Reference
from serve_app.pictrs.transport import API_KEY_ENV, Transport, new_session
from serve_app.settings import PictrsSettings

if TYPE_CHECKING:
    import aiohttp

PAGE = 50
"""Hashes in a page: pict-rs may have to decode each of them for its answer."""

_PURGE_TIMEOUT_S = 10.0
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.02, 0.5

_CHUNK_BYTES = 256 * 1024


@contextlib.asynccontextmanager
async def open_pictrs(
    settings: PictrsSettings, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[PictrsClient]:
    """A client of the configured pict-rs; nothing is asked yet.

    Raises:
        SettingsError: see :func:`connect_pictrs`.
    """
    pictrs = connect_pictrs(settings, environment)
    try:
        yield pictrs
    finally:
        await pictrs.close()


def connect_pictrs(settings: PictrsSettings, environment: Mapping[str, str] = os.environ) -> PictrsClient:
    """:func:`open_pictrs` inside an event loop, for who closes the client.

    Raises:
        SettingsError: its address or its key is not set, or the key cannot be one or be read.
    """
    if settings.url is None:
        raise SettingsError("pictrs.url is not set: set it to the address of pict-rs, http://HOST:PORT")
    api_key = read_secret(API_KEY_ENV, environment)
    if not api_key or not api_key.isascii() or not api_key.isprintable():
        raise SettingsError(
            f"no key for pict-rs: set {API_KEY_ENV} in the environment to what PICTRS__SERVER__API_KEY is in that of "
            "pict-rs; without a key there, pict-rs lets nobody ask"
        )
    return PictrsClient(Transport(settings.url, api_key, new_session()), settings.public_endpoint)


class PictrsClient:
    """One pict-rs.

    Every call raises ``PictrsUnavailableError`` where there is no answer, and ``PictrsRefusedError`` where pict-rs or
    the settings have to be changed first.
    """

    def __init__(self, transport: Transport, public_endpoint: str | None = None) -> None:
        self._transport = transport
        self._public_endpoint = public_endpoint

    async def page(self, *, slug: str | None = None, before: datetime | None = None, limit: int = PAGE) -> HashPage:
        """What is stored, newest first.

        Args:
            slug: begin at this hash. **If it has been purged, pict-rs begins at the newest instead**: ask
                :meth:`HashPage.begins_at`.
            before: begin at the newest hash that was stored before this moment. Without both, at the newest of all.
            limit: how many hashes at most.
        """
        query = {"limit": str(limit)}
        if slug is not None:
            query["slug"] = slug
        if before is not None:
            query["timestamp"] = before.astimezone(UTC).isoformat()
        told = await self._transport.ask("GET", "hashes", query)
        try:
            return HashPage.of_json(told["page"])
        except (KeyError, ValueError) as error:
            raise PictrsRefusedError(
                f"{self._transport.where} names what it stores in another way than pict-rs 0.5 does: "
                "a newer Pictwarden may know it"
            ) from error

    async def find(self, sha256: str, length_bytes: int) -> StoredPicture | None:
        """What is stored with these bytes.

        pict-rs has no such query, but its slugs can be made from what they name: one for each type.
        """
        for number in TYPES:
            slug = StoredHash(sha256, length_bytes, number).slug
            page = await self.page(slug=slug, limit=1)
            if page.begins_at(slug):
                return page.pictures[0]
        return None

    async def aliases(self, reference: Reference) -> tuple[str, ...]:
        """All aliases of the picture that a reference leads to; none if it leads to nothing."""
        return _aliases(await self._transport.ask("GET", "aliases", reference.query))

    async def picture(self, reference: Reference) -> StoredPicture:
        """The picture that a reference leads to.

        Raises:
            PictureGoneError: it leads to nothing.
        """
        aliases = await self.aliases(reference)
        for alias in aliases:
            async with self._transport.request("HEAD", self._transport.original(alias), {}) as response:
                await self._transport.require_answer_about_picture(response)
                stored = _named(response)
                location = _location(response)
            if location is not None:
                stored = await self._hash_in_object_storage(location)
            if stored is not None:
                return StoredPicture(stored, aliases)
        raise PictureGoneError(f"{self._transport.where} has no picture {reference.value}")

    async def original(self, picture: StoredPicture, max_bytes: int) -> bytes:
        """The stored bytes.

        Raises:
            PictureGoneError: they are not there any more.
            TooLargeError: they are more than ``max_bytes``.
            PictureSpoiltError: others were sent.
        """
        length_bytes = picture.hash.length_bytes
        if length_bytes > max_bytes:
            raise TooLargeError(f"the stored picture is {length_bytes} bytes long; the limit is {max_bytes}")
        body = bytearray()
        async with self._open(picture, {}) as response:
            async for chunk in _first(response, length_bytes):
                body += chunk
            is_named = _named(response) == picture.hash
        if len(body) != length_bytes or not (is_named or hashlib.sha256(body).hexdigest() == picture.hash.sha256):
            raise PictureSpoiltError(f"{self._transport.where} sent other bytes than it has stored: see its log")
        return bytes(body)

    async def sha256_of_first(self, picture: StoredPicture, count: int) -> str:
        """The sha256 of the first ``count`` stored bytes, or of all if there are fewer; no others are fetched.

        Raises:
            PictureGoneError: they are not there any more.
        """
        return (await self.sha256s_of_first(picture, [count]))[count]

    async def sha256s_of_first(self, picture: StoredPicture, counts: Collection[int]) -> Mapping[int, str]:
        """:meth:`sha256_of_first` for each of ``counts``, of which there is one at least; the bytes are fetched once.

        Raises:
            PictureGoneError: they are not there any more.
        """
        digest, fetched = hashlib.sha256(), 0
        left, found = sorted(set(counts), reverse=True), dict[int, str]()
        async with self._open(picture, {"Range": f"bytes=0-{left[0] - 1}"}) as response:
            async for chunk in _first(response, left[0]):
                rest = memoryview(chunk)
                while left and left[-1] <= fetched + len(rest):
                    digest.update(rest[: left[-1] - fetched])
                    rest, fetched = rest[left[-1] - fetched :], left[-1]
                    found[left.pop()] = digest.hexdigest()
                digest.update(rest)
                fetched += len(rest)
        return found | dict.fromkeys(left, digest.hexdigest())

    async def purge(self, picture: StoredPicture) -> tuple[str, ...]:
        """Remove the picture with every alias that leads to it, and return those aliases once none of them does.

        pict-rs answers before it has done it, and meanwhile somebody may upload the same bytes again. A picture that
        is gone already is done: no aliases.

        Raises:
            PictrsUnavailableError: it was asked to, and the picture is still there after ten seconds.
        """
        slug, removed = picture.hash.slug, set[str]()
        give_up_s, look_s = time.monotonic() + _PURGE_TIMEOUT_S, _FIRST_LOOK_S
        while True:
            page = await self.page(slug=slug, limit=1)
            aliases = set(page.pictures[0].aliases) if page.begins_at(slug) else set()
            if not aliases:
                return tuple(sorted(removed))
            if time.monotonic() > give_up_s:
                raise PictrsUnavailableError(
                    f"{self._transport.where} still has {min(aliases)} {_PURGE_TIMEOUT_S:.0f} s after it was asked to "
                    "purge it: see its log"
                )
            if new := aliases - removed:
                told = await self._transport.ask("POST", "purge", Reference("alias", min(new)).query)
                removed |= set(_aliases(told))
            await asyncio.sleep(look_s)
            look_s = min(2 * look_s, _LONGEST_LOOK_S)

    async def close(self) -> None:
        """Close its connections."""
        await self._transport.close()

    @contextlib.asynccontextmanager
    async def _open(self, picture: StoredPicture, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The stored bytes, by whichever alias still leads to them.

        Asked for a part, pict-rs answers an unknown alias with that part of its not-found picture: the hash in the
        answer tells.
        """
        for alias in picture.aliases:
            async with self._transport.request("GET", self._transport.original(alias), headers) as response:
                await self._transport.require_answer_about_picture(response)
                location = _location(response)
                if _named(response) == picture.hash:
                    yield response
                    return
            if location is not None:
                async with self._in_object_storage(location, headers) as response:
                    yield response
                    return
        raise PictureGoneError(f"{self._transport.where} does not have the picture any more")

    async def _hash_in_object_storage(self, location: str) -> StoredHash | None:
        digest, length_bytes = hashlib.sha256(), 0
        async with self._in_object_storage(location, {}) as response:
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                digest.update(chunk)
                length_bytes += len(chunk)
        found = await self.find(digest.hexdigest(), length_bytes)
        return found.hash if found else None

    @contextlib.asynccontextmanager
    async def _in_object_storage(
        self, location: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Follow pict-rs to its object storage, and nowhere else."""
        if not _is_below(location, self._public_endpoint):
            raise PictrsRefusedError(
                f"{self._transport.where} sends readers on to {_origin(location)}: set pictrs.public_endpoint to what "
                "PICTRS__STORE__PUBLIC_ENDPOINT is there"
            )
        async with self._transport.request("GET", location, headers) as response:
            if response.status not in (200, 206):
                raise PictrsUnavailableError(f"the object storage of pict-rs answered {response.status}")
            yield response


def _aliases(fields: Mapping[str, object]) -> tuple[str, ...]:
    aliases = fields.get("aliases", ())
    return tuple(map(str, aliases)) if isinstance(aliases, list) else ()


def _named(response: aiohttp.ClientResponse) -> StoredHash | None:
    """The hash of what is served; None where it is not served here."""
    is_served = response.status in (200, 206)
    return StoredHash.of_etag(response.headers.get("ETag", "")) if is_served else None


def _location(response: aiohttp.ClientResponse) -> str | None:
    return response.headers.get("Location") if 300 <= response.status < 400 else None


async def _first(response: aiohttp.ClientResponse, count: int) -> AsyncIterator[bytes]:
    """The first ``count`` bytes, also of an answer that is longer."""
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        yield chunk[:count]
        count -= len(chunk)
        if count <= 0:
            return


def _is_below(url: str, endpoint: str | None) -> bool:
    if endpoint is None:
        return False
    asked, allowed = urlsplit(url), urlsplit(endpoint)
    is_same_origin = (asked.scheme, asked.netloc) == (allowed.scheme, allowed.netloc)
    return is_same_origin and asked.path.startswith(allowed.path.rstrip("/") + "/") and ".." not in asked.path


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
