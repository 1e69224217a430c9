"""Reports in Lemmy's own queue: each is in the audit, so that no post has two for one decision."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from serve_app.domain import AuditEntry
from serve_app.lemmy.found import Shown

REPORT: Final = "report"
"""The action in the audit."""

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
    """What became of the posts and comments that show a picture: reported now, before, or refused by Lemmy."""

    now: tuple[Shown, ...] = ()
    before: tuple[Shown, ...] = ()
    refused: tuple[Shown, ...] = ()

    @property
    def summary(self) -> str:
        """For people."""
        told = (
            ("reported", self.now),
            ("reported before", self.before),
            ("Lemmy takes no report of", self.refused),
        )
        parts = [f"{what} {', '.join(each.name for each in shown)}" for what, shown in told if shown]
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
        self._actor = actor or getpass.getuser()
        self._wall_clock = wall_clock
        self._known: set[tuple[str, str]] | None = None

    async def report(self, aliases: Sequence[str], decision_id: str, reason: str) -> Reported:
        """Report each post and comment that shows the picture, unless it was reported for this decision before.

        Raises:
            LemmyError: Lemmy cannot be asked; what was reported until then is in the audit.
        """
        now, before, refused = list[Shown](), list[Shown](), list[Shown]()
        known = await self._reported()
        for each in await self._lemmy.shown(aliases):
            if (decision_id, each.name) in known:
                before.append(each)
            elif await self._lemmy.report(each, reason[:MOST_CHARACTERS]):
                # Without its address, which for a post from Mastodon has the name of the author.
                detail = {"decision": decision_id, "on": each.name}
                await self._audit.audit(AuditEntry(self._wall_clock(), self._actor, REPORT, detail))
                known.add((decision_id, each.name))
                now.append(each)
            else:
                refused.append(each)
        return Reported(tuple(now), tuple(before), tuple(refused))

    async def _reported(self) -> set[tuple[str, str]]:
        if self._known is None:
            entries = await self._audit.audited(REPORT, _EVER)
            self._known = {(str(each.detail.get("decision")), str(each.detail.get("on"))) for each in entries}
        return self._known
