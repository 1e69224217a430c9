"""API v3, of Lemmy 0.19.4 and later: as in the sources of 0.19.4 and 0.19.21."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import AwareDatetime, BaseModel

from serve_app.lemmy.api import PAGE, parsed
from serve_app.lemmy.contents import Contents, Person
from serve_app.lemmy.found import Page, Shown, Upload
from serve_app.lemmy.transport import Transport

MOST_PAGES: Final = 100
"""0.19.21 answers no further page: the newest 5,000 uploads are listed, and no others."""

_TAKES_NONE = frozenset({"couldnt_create_report", "couldnt_find_post", "couldnt_find_comment"})


class _Image(BaseModel):
    pictrs_alias: str
    published: AwareDatetime


class _ImageView(BaseModel):
    local_image: _Image
    person: Person

    @property
    def upload(self) -> Upload:
        return Upload(self.local_image.pictrs_alias, self.person.full_name, self.local_image.published)


class _Media(BaseModel):
    images: list[_ImageView]


class ApiV3:
    """:class:`~serve_app.lemmy.api.Api` of Lemmy 0.19."""

    is_newest_first = True

    def __init__(self, transport: Transport, public_url: str) -> None:
        """``public_url`` is the address of the instance in links to its pictures."""
        self._transport = transport
        self._public_url = public_url.rstrip("/")

    async def page(self, cursor: str | None) -> Page:
        """See :class:`~serve_app.lemmy.api.Api`. An upload that is deleted meanwhile moves all older ones up by one."""
        number = int(cursor or 1)
        query = {"page": str(number), "limit": str(PAGE)}
        answer = await self._transport.ask("GET", "api/v3/admin/list_all_media", query)
        uploads = [each.upload for each in parsed(_Media, answer, self._transport).images]
        is_end = len(uploads) < PAGE
        return Page(uploads, None if is_end or number >= MOST_PAGES else str(number + 1), is_end)

    async def search(self, alias: str) -> Sequence[Shown]:
        """See :class:`~serve_app.lemmy.api.Api`. A link is found if it is exactly the address of the picture."""
        shown: list[Shown] = []
        for kind, text in (("Url", f"{self._public_url}/pictrs/image/{alias}"), ("All", alias)):
            query = {"q": text, "type_": kind, "listing_type": "All", "sort": "New", "limit": str(PAGE)}
            answer = await self._transport.ask("GET", "api/v3/search", query)
            shown += parsed(Contents, answer, self._transport).with_alias(alias)
        return shown

    async def report(self, shown: Shown, reason: str) -> bool:
        """See :class:`~serve_app.lemmy.api.Api`. Lemmy tells the moderators, also those of another instance."""
        body = {f"{shown.kind}_id": shown.id, "reason": reason}
        answer = await self._transport.ask("POST", f"api/v3/{shown.kind}/report", body=body, known=_TAKES_NONE)
        return answer is not None and answer.code is None
