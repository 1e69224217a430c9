"""API v4, of Lemmy 1.0: as in the sources of its crates of version 1.0.0-test-fix-publish-3."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import AwareDatetime, BaseModel

from serve_app.lemmy.api import PAGE, parsed
from serve_app.lemmy.contents import Contents, Person
from serve_app.lemmy.found import Page, Shown, Upload
from serve_app.lemmy.transport import Transport

_TAKES_NONE = frozenset({"couldnt_create", "already_exists", "deleted"})


class _Image(BaseModel):
    pictrs_alias: str
    published_at: AwareDatetime
    thumbnail_for_post_id: int | None = None


class _ImageView(BaseModel):
    local_image: _Image
    person: Person

    @property
    def upload(self) -> Upload:
        image = self.local_image
        return Upload(image.pictrs_alias, self.person.full_name, image.published_at, image.thumbnail_for_post_id)


class _Images(BaseModel):
    items: list[_ImageView]
    next_page: str | None = None


class ApiV4:
    """:class:`~serve_app.lemmy.api.Api` of Lemmy 1.0."""

    is_newest_first = False
    """Nothing in the list's query sorts it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def page(self, cursor: str | None) -> Page:
        """See :class:`~serve_app.lemmy.api.Api`.

        The version that was read compares a cursor with a sort key that the query does not have, so that its database
        refuses every page but the first; Lemmy then answers that nothing was found.
        """
        query = {"limit": str(PAGE)} | ({} if cursor is None else {"page_cursor": cursor})
        answer = await self._transport.ask("GET", "api/v4/image/list", query)
        if answer is None and cursor is not None:
            return Page(())
        images = parsed(_Images, answer, self._transport)
        return Page([each.upload for each in images.items], images.next_page, is_end=images.next_page is None)

    async def search(self, alias: str) -> Sequence[Shown]:
        """See :class:`~serve_app.lemmy.api.Api`."""
        shown: list[Shown] = []
        common = {"search_term": alias, "listing_type": "all", "show_nsfw": "true", "limit": str(PAGE)}
        for kind in ({"type_": "posts", "post_url_only": "true"}, {"type_": "all"}):
            answer = await self._transport.ask("GET", "api/v4/search", common | kind)
            shown += parsed(Contents, answer, self._transport).with_alias(alias)
        return shown

    async def report(self, shown: Shown, reason: str) -> bool:
        """See :class:`~serve_app.lemmy.api.Api`. The report is for this instance's admins, and goes to nobody else."""
        body = {f"{shown.kind}_id": shown.id, "reason": reason, "violates_instance_rules": True}
        answer = await self._transport.ask("POST", f"api/v4/{shown.kind}/report", body=body, known=_TAKES_NONE)
        return answer is not None and answer.code is None
