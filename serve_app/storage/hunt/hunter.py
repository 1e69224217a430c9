"""A hunt, as the command and the service do it: what is looked for, under whose terms, and what becomes of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from serve_app.domain import ADMIN_SOURCE, RESCAN_SOURCE, UNNAMED_SOURCE, Decision, DecisionArchive
from serve_app.domain.lists import ListKind, Match
from serve_app.lists.snapshot import Snapshot
from serve_app.pictrs import may_store
from serve_app.policy import Policies
from serve_app.settings import Settings
from serve_app.storage.hunt.by_lists import deciding_match, suspects
from serve_app.storage.hunt.by_policy import PolicyHunt
from serve_app.storage.hunt.catching import Catcher, Caught
from serve_app.storage.hunt.pace import Pace, in_thread
from serve_app.storage.hunt.suspects import Suspect

if TYPE_CHECKING:
    from serve_app.ledger.body_scans import BodyScans


@dataclass(frozen=True, slots=True)
class Hunter:
    """Hunts through one ledger, whose ``bodies`` are scanned.

    ``lists`` are those of now: a hunt takes long, and what an admin allows meanwhile is not purged. ``refresh`` brings
    them up to date, in a thread, before each purge; where they follow their store it has nothing to do.
    """

    settings: Settings
    archive: DecisionArchive
    bodies: BodyScans
    lists: Callable[[], Snapshot]
    catcher: Catcher
    wall_clock: Callable[[], datetime]
    refresh: Callable[[], None] = lambda: None

    async def by_lists(self, sought: Snapshot, pace: Pace) -> AsyncGenerator[Caught, None]:
        """What becomes of each picture that an entry of ``sought`` denies.

        Raises:
            PictrsRefusedError: the settings have to be changed first.
            SettingsError: and so they have.
        """
        now = self.wall_clock()
        found = suspects(self.archive, self.bodies, sought, self._lists_of, self._may_store, now, pace)
        async with contextlib.aclosing(found):
            async for suspect in found:
                if (caught := await self.catcher.caught(suspect, self._is_still_rejected)) is not None:
                    yield caught

    def policy_hunt(self, policies: Policies) -> PolicyHunt:
        """A hunt for what ``policies`` reject."""
        return PolicyHunt(
            self.archive,
            self.bodies,
            policies,
            lambda source: policies.of(self._own_source(source)),
            self._lists_of,
            self._may_store,
            self.wall_clock(),
        )

    async def by_policy(self, hunt: PolicyHunt, pace: Pace) -> AsyncGenerator[Caught, None]:
        """What becomes of each picture that a rule rejects.

        Raises:
            PictrsRefusedError: the settings have to be changed first.
            SettingsError: and so they have.
        """
        async with contextlib.aclosing(hunt.suspects(pace)) as found:
            async for suspect in found:
                if (caught := await self.catcher.caught(suspect, self._is_still_rejected)) is not None:
                    yield caught

    async def _is_still_rejected(self, suspect: Suspect) -> bool:
        await in_thread(self.refresh)
        decision = suspect.recorded.decision
        lists, now = self._lists_of(decision.source), self.wall_clock()
        match = await in_thread(deciding_match, lists, decision.sha256, suspect.fingerprints, now)
        if isinstance(suspect.cause, Match):
            return match is not None and match.entry.kind is ListKind.DENY
        return match is None or match.entry.kind is not ListKind.ALLOW

    def _may_store(self, decision: Decision) -> bool:
        return may_store(self.settings.pictrs_source, decision)

    def _lists_of(self, source: str) -> Snapshot:
        known = self.settings.sources.get(self._own_source(source))
        return self.lists().restricted_to(known.lists if known is not None else None)

    def _own_source(self, source: str) -> str:
        """Rescans, and calls of admins, are about pictures of the source whose pict-rs is asked."""
        is_of_pictrs = source in (RESCAN_SOURCE, ADMIN_SOURCE)
        return (self.settings.pictrs_source or UNNAMED_SOURCE) if is_of_pictrs else source
