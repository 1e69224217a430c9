"""The HTTP door of the running service, for work that can wait: its decisions are recorded like those on uploads.

aiohttp is imported with the first door: it takes 6 MB, and a service that asks nobody needs none of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from pydantic import ValidationError

from serve_app.domain import UNNAMED_SOURCE, Lane, UnauthorisedError, UnavailableError
from serve_app.wire import LANE_HEADER, Answer

if TYPE_CHECKING:
    import aiohttp

# The service answers within its own deadline.
_CONNECT_S, _READ_S = 10, 30

_WRONG_URL = "check the scan URL, http://HOST:PORT/api/v1/scan/SECRET"


class Door:
    """The scan path of a running service, in the background lane."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        """``url`` has the secret in it."""
        self._url = url
        self._session = session

    async def scan(self, body: bytes, of_source: str = UNNAMED_SOURCE) -> Answer:
        """The service's answer about these bytes, as it decides for the secret of this URL, whatever ``of_source`` is.

        Raises:
            UnavailableError: nobody answered, or somebody else than Pictwarden.
            UnauthorisedError: the secret in the URL is wrong.
        """
        import aiohttp

        try:
            async with self._session.post(
                self._url,
                data=body,
                headers={LANE_HEADER: Lane.BACKGROUND, "Content-Type": "application/octet-stream"},
                allow_redirects=False,
            ) as response:
                status, text = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnavailableError(f"no answer from Pictwarden: is it running? Else {_WRONG_URL}") from error
        if status == 401:
            raise UnauthorisedError(f"the secret is wrong: {_WRONG_URL}")
        try:
            return Answer.model_validate_json(text)
        except ValidationError as error:
            raise UnavailableError(f"an answer ({status}) that is not Pictwarden's: {_WRONG_URL}") from error


@contextlib.asynccontextmanager
async def open_door(url: str) -> AsyncIterator[Door]:
    """A door to the service at this scan URL; nothing is asked yet."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Door(url, session)
