"""Reports in Lemmy's own queue: each is in the audit, so that no post has two for one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from serve_app.domain import READING, AuditEntry
from serve_app.host.actor import actor_name
from serve_app.lemmy.found import Shown

REPORT: Final = "report"
"""The action in the audit."""

SEARCH: Final = f"{READING}Lemmy's search"
"""The action of having searched for all that shows a picture, and reported it. It is erased like those that read."""

SEARCHED_AGAIN_AFTER: Final = timedelta(days=7)
"""A picture that was searched for leaves its searches to others for so long: Lemmy permits few of them."""

UNFOUND_AGAIN_AFTER: Final = timedelta(days=1)
"""The same where nothing showed it, once: an upload comes before its post."""

MOST_CHARACTERS: Final = 1000
"""Of a reason: Lemmy takes no longer one."""

_EVER = datetime(1970, 1, 1, tzinfo=UTC)


class Audit(Protocol):
    """Of :class:`~serve_app.domain.DecisionArchive` what is needed here."""

    async def audit(self, entry: AuditEntry) -> None:
        """Add an entry."""
        ...

    async def audited(self, action: str, since: datetime) -> Sequence[AuditEntry]:
        """The entries of an action, oldest first."""
        ...


class Reports(Protocol):
    """Of :class:`~serve_app.lemmy.LemmyClient` what is needed here."""

    async def shown(self, aliases: Sequence[str]) -> tuple[Shown, ...]:
        """The posts and comments that show a picture."""
        ...

    async def report(self, shown: Shown, reason: str) -> bool:
        """File a report; False if Lemmy takes none."""
        ...


@dataclass(frozen=True, slots=True)
class Reported:
    """What became of the posts and comments that show a picture, by their names: reported now, before, or refused.

    Lemmy refuses what somebody else has removed, or this account has reported. ``is_searched`` if it was asked; without
    that, ``before`` are all that have been reported.
    """

    now: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    is_searched: bool = True

    @property
    def summary(self) -> str:
        """For people."""
        told = (
            ("reported", self.now),
            ("reported before", self.before),
            ("Lemmy takes no report of", self.refused),
        )
        parts = [f"{what} {', '.join(shown)}" for what, shown in told if shown]
        if not self.is_searched:
            parts.append(f"Lemmy was asked within the last {SEARCHED_AGAIN_AFTER.days} days")
        return "; ".join(parts) or "no post or comment to report was found"


class Reporter:
    """Reports pictures to the moderators of the posts that show them."""

    def __init__(
        self,
        lemmy: Reports,
        audit: Audit,
        actor: str | None = None,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``actor`` is who wants it, for the audit: by default the user of this process."""
        self._lemmy = lemmy
        self._audit = audit
        self._actor = actor or actor_name()
        self._wall_clock = wall_clock
        self._known: dict[str, list[str]] | None = None
        self._searched: dict[str, datetime] = {}

    async def report(self, aliases: Sequence[str], sha256: str, reason: str) -> Reported:
        """Report each post and comment that shows the picture, unless it was reported for these bytes before.

        Raises:
            LemmyError: Lemmy cannot be asked; what was reported until then is in the audit.
        """
        known = (await self._reported()).setdefault(sha256, [])
        if self._wall_clock() <= self._searched.get(sha256, _EVER):
            return Reported(before=tuple(known), is_searched=False)
        now, before, refused = list[str](), list[str](), list[str]()
        for each in await self._lemmy.shown(aliases):
            if each.name in known:
                before.append(each.name)
            elif await self._lemmy.report(each, reason[:MOST_CHARACTERS]):
                # Without its address, which for a post from Mastodon has the name of the author.
                await self._note(REPORT, {"sha256": sha256, "on": each.name})
                known.append(each.name)
                now.append(each.name)
            else:
                refused.append(each.name)
        if aliases:
            found = len(now) + len(before) + len(refused)
            await self._note(SEARCH, {"sha256": sha256, "found": found})
            is_first = sha256 not in self._searched
            self._searched[sha256] = _searched_until(self._wall_clock(), found, is_first=is_first)
        return Reported(tuple(now), tuple(before), tuple(refused))

    async def _reported(self) -> dict[str, list[str]]:
        """By sha256, the names of what was reported."""
        if self._known is None:
            known: dict[str, list[str]] = {}
            for each in await self._audit.audited(REPORT, _EVER):
                known.setdefault(str(each.detail.get("sha256")), []).append(str(each.detail.get("on")))
            searched = await self._audit.audited(SEARCH, self._wall_clock() - 2 * SEARCHED_AGAIN_AFTER)
            for each in searched:
                sha256, found = str(each.detail.get("sha256")), int(each.detail.get("found", 0))
                self._searched[sha256] = _searched_until(each.at, found, is_first=sha256 not in self._searched)
            self._known = known
        return self._known

    async def _note(self, action: str, detail: Mapping[str, str | int]) -> None:
        await self._audit.audit(AuditEntry(self._wall_clock(), self._actor, action, dict(detail)))


def _searched_until(at: datetime, found: int, *, is_first: bool) -> datetime:
    return at + (UNFOUND_AGAIN_AFTER if is_first and not found else SEARCHED_AGAIN_AFTER)
