"""Requests to the admin API of a running service."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import BinaryIO, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, ValidationError

from serve_app.admin_api import ADMIN_PATH, ADMIN_PORT, ADMIN_SECRETS_ENV, Problem
from serve_app.domain import SettingsError
from serve_app.host.secret_files import FILE_SUFFIX, read_secrets

ADMIN_URL_ENV = "PICTWARDEN_ADMIN_URL"
DEFAULT_ADMIN_URL = f"http://127.0.0.1:{ADMIN_PORT}"

# The longest thing that one request does is an import of a list.
_TIMEOUT_S = 300.0
_CONNECT_S = 10.0

_CHUNK_BYTES = 256 * 1024

Answer = TypeVar("Answer", bound=BaseModel)


class AdminError(Exception):
    """Of the command alone: the service did not do what was asked; the message says why, and what to do."""


class NotFoundError(AdminError):
    """The service has no such thing."""


class AdminConnection:
    """The admin API, with the first secret of the environment."""

    def __init__(self, url: str | None = None, environment: Mapping[str, str] = os.environ) -> None:
        """``url`` is that of the service; by default the environment's, or this machine's.

        Raises:
            AdminError: the environment has no secret, or names a file that cannot be read.
        """
        self._url = (url or environment.get(ADMIN_URL_ENV) or DEFAULT_ADMIN_URL).rstrip("/")
        try:
            first = next(iter(read_secrets(ADMIN_SECRETS_ENV, environment)), "")
        except SettingsError as error:
            raise AdminError(str(error)) from error
        self._secret = first.partition(":")[2] or first
        if not self._secret:
            raise AdminError(
                f"no admin secret: set {ADMIN_SECRETS_ENV} to the same NAME:SECRET as in the service's environment, or "
                f"{ADMIN_SECRETS_ENV}{FILE_SUFFIX} to its file"
            )

    def get(self, shape: type[Answer], path: str, params: Mapping[str, str] | None = None) -> Answer:
        """What is at ``path``. See :meth:`send`."""
        return self.send(shape, "GET", path, params=params)

    def send(
        self,
        shape: type[Answer],
        method: str,
        path: str,
        body: BaseModel | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer to one request.

        Args:
            shape: of the answer.
            method: of HTTP.
            path: below :data:`~serve_app.admin_api.ADMIN_PATH`.
            body: sent as JSON.
            params: of the query.

        Raises:
            NotFoundError: the service has no such thing.
            AdminError: the service refused, or did not answer.
        """
        data = body.model_dump_json(exclude_none=True).encode() if body is not None else None
        return asyncio.run(self._send(shape, method, path, data, "application/json", params))

    def upload(
        self,
        shape: type[Answer],
        path: str,
        file: BinaryIO,
        params: Mapping[str, str],
        show: Callable[[int], None] = lambda sent_bytes: None,
    ) -> Answer:
        """Send ``file`` from its position to its end, and tell ``show`` how many bytes are sent. See :meth:`send`."""

        async def chunks() -> AsyncIterator[bytes]:
            sent_bytes = 0
            while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                yield chunk
                sent_bytes += len(chunk)
                show(sent_bytes)

        return asyncio.run(self._send(shape, "POST", path, chunks(), "application/octet-stream", params))

    def download(
        self,
        path: str,
        out: BinaryIO,
        params: Mapping[str, str],
        show: Callable[[int], None] = lambda received_bytes: None,
    ) -> None:
        """Write what is at ``path`` to ``out``, and tell ``show`` how many bytes have come.

        Raises:
            AdminError: see :meth:`send`; ``out`` may then have a part of it.
        """
        asyncio.run(self._download(path, out, params, show))

    async def _download(self, path: str, out: BinaryIO, params: Mapping[str, str], show: Callable[[int], None]) -> None:
        received_bytes = 0
        async with self._request("GET", path, None, {}, params) as response:
            if response.status >= 300:
                raise self._error(response.status, await response.read())
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                await asyncio.to_thread(out.write, chunk)
                received_bytes += len(chunk)
                show(received_bytes)

    async def _send(
        self,
        shape: type[Answer],
        method: str,
        path: str,
        data: bytes | AsyncIterator[bytes] | None,
        content_type: str,
        params: Mapping[str, str] | None,
    ) -> Answer:
        headers = {"Content-Type": content_type} if data is not None else {}
        async with self._request(method, path, data, headers, params) as response:
            return self._read(shape, response.status, await response.read())

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        data: bytes | AsyncIterator[bytes] | None,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S, sock_connect=_CONNECT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers={"Authorization": f"Bearer {self._secret}"}) as session,
                session.request(
                    method,
                    f"{self._url}{ADMIN_PATH}{path}",
                    data=data,
                    headers=headers,
                    params=params,
                    allow_redirects=False,
                ) as response,
            ):
                yield response
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise AdminError(
                f"no admin API answers at {self._url} ({_told(error)}): start the service with {ADMIN_SECRETS_ENV} "
                f"set, or name its address in {ADMIN_URL_ENV}"
            ) from error

    def _read(self, shape: type[Answer], status: int, content: bytes) -> Answer:
        try:
            if status < 300:
                return shape.model_validate_json(content)
        except ValidationError as error:
            raise self._stranger(status) from error
        raise self._error(status, content)

    def _error(self, status: int, content: bytes) -> AdminError:
        try:
            problem = Problem.model_validate_json(content)
        except ValidationError as error:
            raise self._stranger(status) from error
        kind = NotFoundError if status == 404 else AdminError
        return kind(_with_way_out(status, problem.message))

    def _stranger(self, status: int) -> AdminError:
        return AdminError(f"{self._url} is not the admin API of a Pictwarden of this version: it answered {status}")


def _with_way_out(status: int, message: str) -> str:
    if status == 401:
        return f"the secret in {ADMIN_SECRETS_ENV} is not one of the service's"
    return message


def _told(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientConnectorError(os_error=OSError(strerror=str(why))):
            return why.lower()
        case _:
            return "the connection failed"


def path_segment(text: str) -> str:
    """``text`` as one segment of a path."""
    return quote(text, safe="")
