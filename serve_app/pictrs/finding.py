"""Which picture of pict-rs a decision was about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from serve_app.domain import ADMIN_SOURCE, RESCAN_SOURCE, Decision, Judged, PictureGoneError
from serve_app.pictrs.client import PictrsClient
from serve_app.pictrs.hashes import StoredPicture
from serve_app.pictrs.walking import stored_between

STORED_WITHIN = timedelta(seconds=60)
"""Between a decision and the moment at which pict-rs stores its picture, by both clocks."""


def may_store(source: str | None, decision: Decision) -> bool:
    """Whether the pict-rs of ``source`` is that of the decision's picture; None: there is only one pict-rs.

    The same bytes elsewhere are another picture, about which another policy may decide otherwise. Calls of the
    service's own and of admins are about pictures of the only pict-rs that it asks.
    """
    return source is None or decision.source in (source, RESCAN_SOURCE, ADMIN_SOURCE)


async def pictures_of(pictrs: PictrsClient, decision: Decision) -> AsyncIterator[StoredPicture]:
    """The stored pictures that this decision let through: mostly one; none where it was purged or never stored.

    pict-rs names a picture by the sha256 of the body that it posts. Now and then it posts only the first part of a
    picture, and stores all of it: such a picture is among those that were stored at that time, and begins with the
    bytes that the decision was about. More than one may begin with them, and one may consist of them.

    Raises:
        PictrsError: pict-rs cannot be asked.
    """
    whole = await pictrs.find(decision.sha256, decision.body_bytes)
    if whole is not None:
        yield whole
        if not (isinstance(decision.outcome, Judged) and decision.outcome.is_truncated):
            return
    start, end = decision.decided_at - STORED_WITHIN, decision.decided_at + STORED_WITHIN
    async for picture in stored_between(pictrs, start, end):
        if picture.hash.length_bytes > decision.body_bytes and await _begins_as(pictrs, picture, decision):
            yield picture


async def _begins_as(pictrs: PictrsClient, picture: StoredPicture, decision: Decision) -> bool:
    try:
        return await pictrs.sha256_of_first(picture, decision.body_bytes) == decision.sha256
    except PictureGoneError:
        return False
