"""HTTP to the configured Lemmy: the token, the limits of time and length, and an error of ours for each failure.

No redirect is followed, and no proxy of the environment is asked: the token goes to the configured address alone. No
message has a part of an answer in it but Lemmy's word for an error, since answers name people.

aiohttp is imported with the first session: it takes 6 MB, and a service without a Lemmy to ask needs none of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from serve_app.domain import LemmyError, LemmyRefusedError, LemmyUnavailableError

if TYPE_CHECKING:
    import aiohttp

TOKEN_ENV: Final = "PICTWARDEN_LEMMY_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable with the token (JWT) of an admin's account."""

TIMEOUT_S: Final = 30.0
"""Of one request, its answer included: searches of Lemmy read whole tables."""

_MAX_ANSWER_BYTES = 16_000_000
_CODE = re.compile(r"[a-z0-9_]{1,64}")


def new_session(timeout_s: float = TIMEOUT_S) -> aiohttp.ClientSession:
    """Pooled connections for a :class:`Transport`."""
    import aiohttp

    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(10.0, timeout_s)))


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API: its JSON object, and Lemmy's word for an error that the caller knows what to do with."""

    fields: Mapping[str, Any]
    code: str | None = None


class Transport:
    """Calls to one Lemmy."""

    def __init__(self, url: str, token: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._session = session

    @property
    def where(self) -> str:
        """The address, for messages."""
        return f"Lemmy at {self._url}"

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        known: Collection[str] = (),
    ) -> Answer | None:
        """Call the API; None where it has no such path, or nothing there.

        Args:
            method: of HTTP.
            path: below the address, such as ``api/v3/site``.
            query: parameters.
            body: a JSON object.
            known: Lemmy's words for errors that are returned as :attr:`Answer.code` and not raised.

        Raises:
            LemmyUnavailableError: no answer, a fault of Lemmy, or its rate limit.
            LemmyRefusedError: a wrong token, an account that is no admin, or something else than Lemmy.
        """
        import aiohttp

        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            async with self._session.request(
                method, f"{self._url}/{path}", headers=headers, params=query, json=body, allow_redirects=False
            ) as response:
                status, fields = response.status, _json_object(await self._read(response))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise LemmyUnavailableError(
                f"no answer from {self.where} ({_why(error)}): is it running there? Check lemmy.url"
            ) from error
        if status == 200 and fields is not None:
            return Answer(fields)
        code = _code(fields)
        if code in known:
            return Answer({}, code)
        if status == 404:
            return None
        raise self._error(status, code)

    def strange(self) -> LemmyRefusedError:
        """The error for an answer in another shape than Lemmy's."""
        return LemmyRefusedError(
            f"{self.where} gave an answer in a shape that Lemmy 0.19 and 1.0 do not have: check lemmy.url; a newer "
            "Pictwarden may know it"
        )

    def _error(self, status: int, code: str) -> LemmyError:
        match status, code:
            case (429, _) | (_, "rate_limit_error"):
                return LemmyUnavailableError(
                    f"{self.where} was asked too often for its rate limit: try again in ten minutes, or raise "
                    "its limits for searches and messages"
                )
            case (401, _) | (_, "incorrect_login" | "not_logged_in"):
                return LemmyRefusedError(
                    f"{self.where} refuses the token: log in there with an admin's account, and set {TOKEN_ENV} to the "
                    "`jwt` of the answer"
                )
            case (_, "not_an_admin"):
                return LemmyRefusedError(
                    f"{self.where} answers admins alone: make the account of {TOKEN_ENV} an admin there"
                )
            case (200, _):
                return self.strange()
            case _ if status >= 500:
                return LemmyUnavailableError(f"{self.where} failed ({status} {code or 'without a code'}): see its log")
        return LemmyRefusedError(
            f"{self.where} refused the call ({status} {code or 'without a code'}): check lemmy.url, and see its log"
        )

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > _MAX_ANSWER_BYTES:
                raise LemmyRefusedError(f"{self.where} gave an answer that is too long for Lemmy: check lemmy.url")
        return bytes(body)


def _json_object(body: bytes) -> Mapping[str, Any] | None:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _code(fields: Mapping[str, Any] | None) -> str:
    """Lemmy's word for an error; an answer may hold anything else."""
    code = (fields or {}).get("error")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _why(error: Exception) -> str:
    import aiohttp

    match error:
        case TimeoutError():
            return "it took too long"
        case aiohttp.ClientConnectorError():
            return str(error.os_error.strerror or "no connection")
        case _:
            return "the connection broke"
