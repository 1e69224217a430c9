"""Purges of pict-rs's pictures, within the quota of the day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from serve_app.pictrs.client import PictrsClient
from serve_app.pictrs.hashes import StoredPicture
from serve_app.purges import Audit, Doomed, QuotaOfPurges


class Purger:
    """Purges pictures of one pict-rs, with all aliases that lead to them."""

    def __init__(
        self, pictrs: PictrsClient, audit: Audit, actor: str, most_a_day: int, wall_clock: Callable[[], datetime]
    ) -> None:
        """``actor`` is who wants it, for the audit."""
        self._pictrs = pictrs
        self._quota = QuotaOfPurges(audit, actor, most_a_day, wall_clock)

    async def purge(self, picture: StoredPicture, why: str) -> tuple[str, ...] | None:
        """Purge a picture; the aliases that led to it and do no more, or None where the quota of today is used up.

        Raises:
            PictrsError: see :meth:`~serve_app.pictrs.PictrsClient.purge`.
        """
        doomed = Doomed(picture.hash.sha256, picture.hash.length_bytes, picture.aliases)
        return await self._quota.purge(doomed, why, partial(self._pictrs.purge, picture))
