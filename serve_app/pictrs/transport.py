"""HTTP to the configured pict-rs: the key, the limits of time and length, and an error of ours for each failure.

No redirect is followed here, and no proxy of the environment is asked: the key goes to the configured address alone.

aiohttp is imported with the first session: it takes 6 MB, and a service without a pict-rs to ask needs none of it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from serve_app.domain import PictrsError, PictrsRefusedError, PictrsUnavailableError

if TYPE_CHECKING:
    import aiohttp

API_KEY_ENV = "PICTWARDEN_PICTRS_API_KEY"
"""Environment variable with the key of pict-rs's internal API."""

_KEY_HEADER = "X-Api-Token"

# A page of hashes may have to wait until pict-rs has computed what it shows of each picture.
_CONNECT_S, _READ_S = 10, 60

_MAX_ANSWER_BYTES = 64_000_000


def new_session() -> aiohttp.ClientSession:
    """Pooled connections for a :class:`Transport`."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S)
    return aiohttp.ClientSession(timeout=timeout, headers={"Accept-Encoding": "identity"})


class Transport:
    """Calls to one pict-rs."""

    def __init__(self, url: str, api_key: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._session = session

    @property
    def where(self) -> str:
        """The address, for messages."""
        return f"pict-rs at {self._url}"

    async def ask(self, method: str, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        """Call the internal API: the fields of the JSON object, none where the picture is not found.

        Raises:
            PictrsUnavailableError: no answer, or a fault of pict-rs.
            PictrsRefusedError: a wrong key, a read-only pict-rs, an older one, or something else than pict-rs.
        """
        url = f"{self._url}/internal/{path}"
        async with self.request(method, url, {_KEY_HEADER: self._api_key}, query) as response:
            body = await self._read(response)
        fields = _json_object(body)
        code = fields.get("code")
        match response.status:
            case 200 if fields.get("msg") == "ok":
                return fields
            case 404 if code in ("alias-not-found", "proxy-not-found"):
                return {}
            case 401:
                raise PictrsRefusedError(
                    f"{self.where} refuses the key: set {API_KEY_ENV} here to what PICTRS__SERVER__API_KEY is there"
                )
            case 400 if code == "read-only":
                raise PictrsRefusedError(f"{self.where} is read-only: unset PICTRS__SERVER__READ_ONLY there")
            case 404:
                raise PictrsRefusedError(f"{self.where} is older than 0.5, or is not pict-rs: check pictrs.url")
            case status:
                raise self._error(status, code)

    async def require_answer_about_picture(self, response: aiohttp.ClientResponse) -> None:
        """Return if pict-rs says whether, and where, it has the picture that was asked for.

        Raises:
            PictrsUnavailableError: it has failed.
            PictrsRefusedError: it does not give such an answer.
        """
        if response.status < 400 or response.status == 404:
            return
        code = _json_object(await self._read(response)).get("code")
        if code != "not-found":  # with 500: the file is lost
            raise self._error(response.status, code)

    def _error(self, status: int, code: object) -> PictrsError:
        if status >= 500 or status == HTTPStatus.TOO_MANY_REQUESTS:  # the latter by a proxy in front of it
            return PictrsUnavailableError(f"{self.where} failed ({status} {_code(code)}): see its log")
        return PictrsRefusedError(
            f"{self.where} gave an answer that pict-rs 0.5 does not give ({status} {_code(code)}): check pictrs.url"
        )

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request, whatever its answer.

        Raises:
            PictrsUnavailableError: no answer, or it broke off.
        """
        import aiohttp

        try:
            async with self._session.request(
                method, url, headers=headers, params=query, allow_redirects=False
            ) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise PictrsUnavailableError(
                f"no answer from {self.where} ({_why(error)}): is it running there? Check pictrs.url"
            ) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def original(self, alias: str) -> str:
        """The URL of the stored bytes, which needs no key."""
        return f"{self._url}/image/original/{quote(alias, safe='')}"

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > _MAX_ANSWER_BYTES:
                raise PictrsRefusedError(f"{self.where} gave an answer that is too long for pict-rs: check pictrs.url")
        return bytes(body)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _code(code: object) -> str:
    """pict-rs's word for an error; an answer may hold anything else."""
    is_word = isinstance(code, str) and len(code) < 64 and code.replace("-", "").isalnum()
    return str(code) if is_word else "without a code"


def _why(error: Exception) -> str:
    import aiohttp

    match error:
        case TimeoutError():
            return "it took too long"
        case aiohttp.ClientConnectorError():
            return str(error.os_error.strerror or "no connection")
        case _:
            return "the connection broke"
