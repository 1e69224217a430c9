"""The session with a store that speaks S3: its client, and its errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore import exceptions as botocore_errors
from botocore.parsers import ResponseParserError

from serve_app.domain import (
    FileChangedError,
    FileGoneError,
    FileUnreadableError,
    StorageError,
    StorageRefusedError,
    StorageUnavailableError,
)
from serve_app.storage.scan.source import StoredFile

_CONNECT_S = 10.0
_CONNECTIONS = 64

_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_PASSING_CODES = frozenset({"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests"})
_REFUSED = {
    "NoSuchBucket": "there is no such bucket: check its name and AWS_ENDPOINT_URL",
    "RequestTimeTooSkewed": "the clocks differ: set the one of this machine",
}
_CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or name a profile of ~/.aws with AWS_PROFILE"
)

_BROKEN = (
    botocore_errors.ConnectionError,
    botocore_errors.HTTPClientError,
    botocore_errors.IncompleteReadError,
    ResponseParserError,
    aiohttp.ClientError,
    OSError,  # and with it TimeoutError
)


class S3Session:
    """One client for all calls.

    Credentials, endpoint and region are those of the environment and of ``~/.aws``, as of every program of AWS.
    """

    def __init__(self, url: str, answer_s: float) -> None:
        """``url`` names the store to people; it may be silent for ``answer_s``."""
        self._url = url
        self._answer_s = answer_s
        self._opening = asyncio.Lock()
        self._opened = contextlib.AsyncExitStack()
        self._client: Any = None

    async def close(self) -> None:
        """End it."""
        await self._opened.aclose()

    @contextlib.asynccontextmanager
    async def asked(self, file: StoredFile | None = None, longest_s: float | None = None) -> AsyncIterator[Any]:
        """The client, for a request about a file or the bucket that takes ``longest_s`` at most; errors in ours."""
        with self._words(file):
            async with asyncio.timeout(longest_s or self._answer_s + _CONNECT_S):
                yield await self._connected()

    async def _connected(self) -> Any:
        async with self._opening:
            if self._client is None:
                config = AioConfig(
                    connect_timeout=_CONNECT_S,
                    read_timeout=self._answer_s,
                    max_pool_connections=_CONNECTIONS,
                    # Bodies are no part of its tries, and answers that are no XML neither: we have our own.
                    retries={"mode": "standard", "total_max_attempts": 1},
                    # Several servers know nothing of the checksums of AWS.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                )
                client = get_session().create_client("s3", config=config)
                self._client = await self._opened.enter_async_context(client)
            return self._client

    @contextlib.contextmanager
    def _words(self, file: StoredFile | None) -> Iterator[None]:
        try:
            yield
        except botocore_errors.ClientError as error:
            raise self._meaning(error, file) from error
        except botocore_errors.SSLError as error:
            raise self.refused("its certificate is not trusted: name the authority with AWS_CA_BUNDLE") from error
        except _BROKEN as error:
            raise StorageUnavailableError(f"{self._url} does not answer, or not to the end") from error
        except (botocore_errors.NoCredentialsError, botocore_errors.PartialCredentialsError) as error:
            raise self.refused(f"there are no credentials for it: {_CREDENTIALS}") from error
        except (botocore_errors.BotoCoreError, ValueError) as error:
            raise self.refused(
                "it cannot be asked as the environment says: check AWS_ENDPOINT_URL, AWS_DEFAULT_REGION and ~/.aws"
            ) from error

    def _meaning(self, error: botocore_errors.ClientError, file: StoredFile | None) -> StorageError:
        status, code = status_of(error), code_of(error)
        if status in _PASSING or code in _PASSING_CODES:
            return StorageUnavailableError(f"{self._url} answers {status} {code}")
        if code in _REFUSED:
            return self.refused(_REFUSED[code])
        if code == "InvalidObjectState":
            return FileUnreadableError("it is archived: restore it first")
        if status in (401, 403):
            action = f"{code} to {error.operation_name}"
            return self.refused(f"it answers {action}: allow that action to these credentials, or {_CREDENTIALS}")
        if file is None:
            return self.refused(f"it answers {status} {code}: check AWS_ENDPOINT_URL and AWS_DEFAULT_REGION")
        if status in (409, 412):
            return changed()
        if status == 404:
            return FileGoneError("it is not there any more")
        return FileUnreadableError(f"the store answers {status} {code}")

    def refused(self, why: str) -> StorageRefusedError:
        """What is to be changed first."""
        return StorageRefusedError(f"{self._url}: {why}")


def changed() -> FileChangedError:
    """Other bytes have that name."""
    return FileChangedError("it has changed since it was scanned: the next run scans it again")


def status_of(error: botocore_errors.ClientError) -> int:
    """Of HTTP; 0 where there is none."""
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def code_of(error: botocore_errors.ClientError) -> str:
    """The store's word for it, if it is one."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code if code.isalnum() and code.isascii() else "without a reason"
