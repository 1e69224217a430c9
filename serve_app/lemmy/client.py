"""A client of Lemmy's API, of whichever version the configured Lemmy has."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from pydantic import AliasChoices, BaseModel, Field

from serve_app.domain import LemmyRefusedError, SettingsError
from serve_app.host.secret_files import read_secret
from serve_app.lemmy.api import Api, parsed
from serve_app.lemmy.api_v3 import ApiV3
from serve_app.lemmy.api_v4 import ApiV4
from serve_app.lemmy.found import Brought, Shown
from serve_app.lemmy.listing import Listed, find_uploads
from serve_app.lemmy.transport import TIMEOUT_S, TOKEN_ENV, Transport, new_session
from serve_app.settings import LemmySettings

MOST_SEARCHED: Final = 5
"""Aliases of a picture for which posts are searched: an address may search 60 times in ten minutes, twice for each."""

_FIRST = (0, 19, 4)
_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})")


class _Site(BaseModel):
    address: str = Field(validation_alias=AliasChoices("ap_id", "actor_id"))


class _SiteView(BaseModel):
    site: _Site


class _About(BaseModel):
    site_view: _SiteView
    version: str


@contextlib.asynccontextmanager
async def open_lemmy(
    settings: LemmySettings, environment: Mapping[str, str] = os.environ, timeout_s: float = TIMEOUT_S
) -> AsyncIterator[LemmyClient]:
    """A client of the configured Lemmy; nothing is asked yet.

    Raises:
        SettingsError: its address or its token is not set, or the token cannot be one or be read.
    """
    if settings.url is None:
        raise SettingsError("lemmy.url is not set: set it to the address of Lemmy, http://HOST:PORT")
    token = read_secret(TOKEN_ENV, environment)
    if not token or not token.isascii() or not token.isprintable():
        raise SettingsError(
            f"no token for Lemmy: log in there with an admin's account, and set {TOKEN_ENV} in the environment to the "
            "`jwt` of the answer"
        )
    async with new_session(timeout_s) as session:
        yield LemmyClient(Transport(settings.url, token, session))


class LemmyClient:
    """One Lemmy.

    Every call raises ``LemmyUnavailableError`` where there is no answer, and ``LemmyRefusedError`` where Lemmy or the
    settings have to be changed first.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._api: Api | None = None

    async def who_brought(self, aliases: Sequence[str]) -> Brought:
        """Who uploaded the picture with these aliases, and which posts and comments show it."""
        if not aliases:
            return Brought()
        listed = await self.uploads(aliases)
        known = {each.alias for each in listed.uploads}
        return Brought(
            uploads=listed.uploads,
            unlisted=tuple(each for each in aliases if each not in known),
            is_whole=listed.is_whole,
            back_to=listed.back_to,
            shown=await self.shown(aliases),
            unsearched=tuple(aliases[MOST_SEARCHED:]),
        )

    async def uploads(self, aliases: Collection[str]) -> Listed:
        """The uploads with these aliases, of whatever pictures, as far back as Lemmy lists any."""
        return await find_uploads(await self._version(), aliases)

    async def shown(self, aliases: Sequence[str]) -> tuple[Shown, ...]:
        """The posts and comments that show the picture with these aliases, of which the first ones are searched for.

        Those that were removed or deleted are not found, nor those that only federated thumbnails of it appear in.
        """
        api, found = await self._version(), dict[str, Shown]()
        for alias in aliases[:MOST_SEARCHED]:
            found |= {each.name: each for each in await api.search(alias)}
        return tuple(found.values())

    async def report(self, shown: Shown, reason: str) -> bool:
        """File a report; False if Lemmy takes none: the account has reported it before, or it is gone."""
        return await (await self._version()).report(shown, reason)

    async def _version(self) -> Api:
        """The API that this Lemmy has.

        Raises:
            LemmyRefusedError: it is older than 0.19.4, or is not Lemmy.
        """
        if self._api is None:
            if await self._transport.ask("GET", "api/v4/site") is not None:
                self._api = ApiV4(self._transport)
            else:
                about = parsed(_About, await self._transport.ask("GET", "api/v3/site"), self._transport)
                if too_old := _too_old(about.version):
                    raise LemmyRefusedError(
                        f"{self._transport.where} has the version {too_old}: 0.19.4 and later list uploads"
                    )
                site = urlsplit(about.site_view.site.address)
                self._api = ApiV3(self._transport, f"{site.scheme}://{site.netloc}")
        return self._api


def _too_old(version: str) -> str:
    """The numbers of a version that lists no uploads; empty for others, and for one that has no numbers."""
    numbers = _VERSION.match(version)
    return numbers[0] if numbers is not None and tuple(map(int, numbers.groups())) < _FIRST else ""
