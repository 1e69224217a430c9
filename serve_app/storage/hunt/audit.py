"""What the audit says about hunts: from where the next one goes on, and what the service's last one has left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from serve_app.domain import AuditEntry
from serve_app.domain.archive import SERVICE

HUNT: Final = "hunt"
"""The action in the audit."""

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

_VERSION: Final = "lists_version"
_POLICIES: Final = "policies"
_PURGED: Final = "purged"
_LEFT: Final = "left"


class Audited(Protocol):
    """Of :class:`~serve_app.domain.DecisionArchive` what is needed here."""

    async def audited(self, action: str, since: datetime) -> Sequence[AuditEntry]:
        """The entries of an action, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Hunted:
    """What hunts that left nothing in pict-rs have looked for: entries up to a version, and these policies."""

    lists_version: int = 0
    policies: str | None = None


@dataclass(frozen=True, slots=True)
class HuntOutcome:
    """What one hunt has done: ``left`` pictures are still stored."""

    at: datetime
    purged: int
    left: int


def hunt_entry(
    at: datetime, actor: str, purged: int, left: int, *, lists_version: int | None = None, policies: str | None = None
) -> AuditEntry:
    """A hunt, for the audit; with a version or policies, the next one goes on behind them."""
    detail: dict[str, str | int] = {_PURGED: purged, _LEFT: left}
    if lists_version is not None:
        detail[_VERSION] = lists_version
    if policies is not None:
        detail[_POLICIES] = policies
    return AuditEntry(at, actor, HUNT, detail)


async def hunted_to(audit: Audited) -> Hunted:
    """From where the next hunt goes on."""
    version, policies = 0, None
    for entry in await audit.audited(HUNT, _EVER):
        version = int(entry.detail.get(_VERSION, version))
        policies = entry.detail.get(_POLICIES, policies)
    return Hunted(version, None if policies is None else str(policies))


async def latest_outcome(audit: Audited, since: datetime) -> HuntOutcome | None:
    """That of the service's latest hunt since a moment: a command knows nothing of what that one has left."""
    outcomes = [
        HuntOutcome(each.at, int(each.detail.get(_PURGED, 0)), int(each.detail.get(_LEFT, 0)))
        for each in await audit.audited(HUNT, since)
        if each.actor == SERVICE
    ]
    return outcomes[-1] if outcomes else None
