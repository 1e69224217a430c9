"""A bucket of S3, or of whatever speaks its protocol.

Through aiobotocore, which s3fs is built upon: s3fs changes keys that have ``//`` or ``?versionId=`` in them, names no
condition at a deletion, and makes one error of all that may pass and all that may not.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC
from pathlib import PurePosixPath
from typing import Any

from botocore.exceptions import ClientError

from serve_app.domain import (
    FileGoneError,
    FileUnreadableError,
    StorageRefusedError,
    TooLargeError,
)
from serve_app.storage.scan.source import MOST_LISTED, StoredFile, Wanted
from serve_app.storage.scan.stores.addresses import Bucket
from serve_app.storage.scan.stores.elsewhere import StoreElsewhere
from serve_app.storage.scan.stores.parts import in_parts, is_hidden
from serve_app.storage.scan.stores.s3_session import S3Session, changed, code_of, status_of
from serve_app.storage.scan.stores.tries import ANSWER_S, Sent, longest_s, with_tries

_CHUNK_BYTES = 256 * 1024
_LONGEST_KEY_BYTES = 1024

_MOST_DENIED = 16
"""Files that may not be read before the first one that may: then none may."""


class S3Source(StoreElsewhere):
    """:class:`~serve_app.storage.scan.source.Source` of the keys of a bucket below a prefix.

    In a bucket with versions, a removal only hides the older ones, which stay.
    """

    def __init__(
        self,
        bucket: Bucket,
        quarantine: PurePosixPath | None = None,
        answer_s: float = ANSWER_S,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Nothing is asked yet.

        Args:
            bucket: where.
            quarantine: keys below this one are not scanned; it is below the prefix.
            answer_s: how long the store may be silent.
            sleep: between tries.
        """
        self._bucket = bucket
        self._answer_s = answer_s
        self._session = S3Session(bucket.url, answer_s)
        super().__init__(self._session, quarantine, sleep)
        self._denied: int | None = 0

    @property
    def url(self) -> str:
        """See the port."""
        return self._bucket.url

    def files(self, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
        """See the port. S3 knows no time of change to ask for: for ``since`` all keys are listed too."""
        return in_parts(self._pages(wanted.prefix), wanted)

    async def _pages(self, prefix: str) -> AsyncGenerator[Sequence[StoredFile], None]:
        position: dict[str, str] | None = {}
        while position is not None:
            page = await with_tries(lambda at=position: self._page(prefix, at), self._sleep)  # type: ignore[misc]
            yield [self._listed(each) for each in page.get("Contents", ()) if self._is_wanted(each)]
            is_last = not page.get("IsTruncated")
            position = None if is_last else {"ContinuationToken": page["NextContinuationToken"]}

    async def _page(self, prefix: str, position: dict[str, str]) -> dict[str, Any]:
        async with self._session.asked() as client:
            page: dict[str, Any] = await client.list_objects_v2(
                Bucket=self._bucket.name, Prefix=self._bucket.prefix + prefix, MaxKeys=MOST_LISTED, **position
            )
            return page

    def _is_wanted(self, entry: dict[str, Any]) -> bool:
        name = self._name(entry)
        # An empty key that ends with a slash is a folder to the consoles of several stores.
        is_folder = name.endswith("/") and not entry["Size"]
        is_quarantined = self._quarantine is not None and name.startswith(self._quarantine)
        return not (is_folder or is_quarantined or is_hidden(name)) and bool(name)

    def _name(self, entry: dict[str, Any]) -> str:
        key: str = entry["Key"]
        return key.removeprefix(self._bucket.prefix)

    def _listed(self, entry: dict[str, Any]) -> StoredFile:
        size_bytes: int = entry["Size"]
        etag: str = entry["ETag"].strip('"')
        return StoredFile(self._name(entry), size_bytes, f"{etag}-{size_bytes}", entry["LastModified"].astimezone(UTC))

    async def _read(self, file: StoredFile, max_bytes: int) -> bytes:
        body = bytearray()
        async with self._content(file) as (answer, chunks):
            size_bytes = answer["ContentLength"]
            if size_bytes > max_bytes:
                raise TooLargeError(f"{size_bytes:,} bytes; the limit is {max_bytes:,}")
            async for chunk in chunks:
                body += chunk
        return bytes(body)

    @contextlib.asynccontextmanager
    async def _content(self, file: StoredFile) -> AsyncIterator[tuple[dict[str, Any], AsyncIterator[bytes]]]:
        """What is known of a file, and its bytes; fewer than announced are an error."""
        async with self._session.asked(file, longest_s(file.size_bytes, self._answer_s)) as client:
            try:
                answer = await client.get_object(Bucket=self._bucket.name, Key=self._key(file.name))
            except ClientError as error:
                if status_of(error) == 403 and code_of(error) == "AccessDenied":
                    raise self._denial() from error
                raise
            self._denied = None
            async with answer["Body"] as body:
                yield answer, body.iter_chunks(_CHUNK_BYTES)

    def _denial(self) -> FileUnreadableError | StorageRefusedError:
        if self._denied is not None:
            self._denied += 1
            if self._denied >= _MOST_DENIED:
                return self._session.refused("none of its files may be read: allow s3:GetObject to these credentials")
        return FileUnreadableError("it may not be read: allow s3:GetObject for it to these credentials")

    async def _require_unchanged(self, file: StoredFile, sha256: str) -> str:
        """The entity tag of the bytes, which are these.

        Raises:
            FileChangedError: they are others.
        """
        digest = hashlib.sha256()
        async with self._content(file) as (answer, chunks):
            async for chunk in chunks:
                digest.update(chunk)
        if digest.hexdigest() != sha256:
            raise changed()
        etag: str = answer["ETag"]
        return etag

    async def _remove(self, file: StoredFile, sha256: str, sent: Sent) -> None:
        try:
            etag = await self._require_unchanged(file, sha256)
        except FileGoneError:
            if sent.is_sent:
                return
            raise
        await self._delete(file, etag, sent)

    async def _move(self, file: StoredFile, sha256: str, quarantine: str, sent: Sent) -> None:
        try:
            etag = await self._require_unchanged(file, sha256)
        except FileGoneError:
            if sent.is_sent:
                return
            raise
        name = self._target(quarantine, file.name, sha256)
        there = await self._etag(name)
        if there not in (None, etag):
            name, there = self._target(quarantine, f"{file.name}.{sha256}", sha256), None
        if there is None:
            async with self._session.asked(file, longest_s(file.size_bytes, self._answer_s)) as client:
                await client.copy_object(
                    Bucket=self._bucket.name,
                    Key=self._key(name),
                    CopySource={"Bucket": self._bucket.name, "Key": self._key(file.name)},
                    CopySourceIfMatch=etag,
                )
        await self._delete(file, etag, sent)

    async def _etag(self, name: str) -> str | None:
        """The entity tag of what has this name, if anything has."""
        try:
            async with self._session.asked(StoredFile(name, 0, "")) as client:
                head = await client.head_object(Bucket=self._bucket.name, Key=self._key(name))
                etag: str = head["ETag"]
                return etag
        except FileGoneError:
            return None

    async def _delete(self, file: StoredFile, etag: str, sent: Sent) -> None:
        """Delete what has this entity tag. A server that ignores the condition has been asked right before."""
        which = {"Bucket": self._bucket.name, "Key": self._key(file.name)}
        async with self._session.asked(file) as client:
            head = await client.head_object(**which)
            if head["ETag"] != etag:
                raise changed()
            sent.is_sent = True
            try:
                await client.delete_object(**which, IfMatch=etag)
            except ClientError as error:
                if status_of(error) == 501:
                    await client.delete_object(**which)
                # aiohttp sends it again where the connection breaks: what is gone at the second time went at the first.
                elif status_of(error) not in (404, 412) or await self._etag(file.name) is not None:
                    raise

    def _target(self, quarantine: str, name: str, sha256: str) -> str:
        """Where a file goes: by its name, unless that is too long there or a server could take it for a step up."""
        target = f"{quarantine}{name}"
        is_plain = not {"", ".", ".."} & set(name.split("/"))
        is_short = len(self._key(target).encode()) <= _LONGEST_KEY_BYTES
        return target if is_plain and is_short else f"{quarantine}{sha256}"

    def _key(self, name: str) -> str:
        return self._bucket.prefix + name
