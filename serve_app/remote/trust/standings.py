"""Which connected workers are trusted, and with whose scores a worker's are compared."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from serve_app.remote.fleet import Member
from serve_app.remote.trust.checking import Reference


@dataclass(slots=True, eq=False)
class Standing:
    """What is known of a connected worker.

    Attributes:
        member: the worker.
        is_checked: whether a check is under way.
        is_close: whether its scores of probes were close to the reference's, number by number, so far.
        contested_by: names of workers that differ from it, with nobody to say who is right.
        silent: names of workers that did not answer when it was to be compared with them.
    """

    member: Member
    is_checked: bool = False
    is_close: bool = True
    contested_by: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)

    def contest(self, name: str) -> None:
        """The worker of this name differs from it."""
        self.contested_by.add(name)
        self.member.is_contested = True

    def settle(self, name: str) -> None:
        """That one does so no more."""
        self.contested_by.discard(name)
        self.member.is_contested = bool(self.contested_by)


class Standings:
    """Those of all connected workers."""

    def __init__(self, chance: random.Random) -> None:
        """``chance`` says with whom of several a worker is compared."""
        self._chance = chance
        self.has_engine = False
        """Whether the front can compute itself."""
        self._standings: dict[str, Standing] = {}

    def __iter__(self) -> Iterator[Standing]:
        return iter(tuple(self._standings.values()))

    def add(self, member: Member) -> None:
        """It has joined."""
        self._standings[member.name] = Standing(member)

    def remove(self, member: Member) -> Sequence[Member]:
        """It has left, and contests nobody any more: those whom nobody else contests."""
        self._standings.pop(member.name, None)
        freed = [each for each in self if each.contested_by == {member.name}]
        for standing in self:
            standing.settle(member.name)
            standing.silent.discard(member.name)
        return [each.member for each in freed]

    def of(self, member: Member) -> Standing | None:
        """None once it has left."""
        standing = self._standings.get(member.name)
        return standing if standing is not None and standing.member is member else None

    def named(self, names: set[str]) -> Sequence[Standing]:
        """Those of these names that are connected."""
        return [standing for name, standing in self._standings.items() if name in names]

    def trusted_beside(self, *members: Member) -> Sequence[Member]:
        """The other workers that are trusted and work."""
        return [
            each.member
            for each in self
            if each.member not in members and each.member.is_usable and not each.contested_by
        ]

    def reference(self, standing: Standing) -> Reference:
        """Whose scores those of a worker are compared with."""
        member = standing.member
        others = [each for each in self.trusted_beside(member) if each.name not in standing.silent]
        foreign = [other for other in others if other.owner != member.owner]
        if foreign:
            return Reference(self._chance.choice(foreign))
        if self.has_engine:
            return Reference(is_engine=True)
        # Two workers of one owner may lie alike, and on trial are both: then a comparison shows a difference at least.
        untried = [
            each
            for each in self
            if each is not standing and not each.member.is_silent and each.member.name not in standing.silent
        ]
        members = others or [each.member for each in untried]
        return Reference(self._chance.choice(members)) if members else Reference()

    def judge(self, *members: Member) -> Reference | None:
        """A third one to these, of neither's owner; None if there is none."""
        if self.has_engine:
            return Reference(is_engine=True)
        owners = {member.owner for member in members}
        others = [each for each in self.trusted_beside(*members) if each.owner not in owners]
        return Reference(self._chance.choice(others)) if others else None

    def second(self, member: Member) -> Reference | None:
        """Who has nothing to do and may score a picture of ``member`` again: the engine where no other worker is."""
        others = self.trusted_beside(member)
        idle = [other for other in others if not other.load.rows]
        foreign = [other for other in idle if other.owner != member.owner]
        if idle:
            return Reference(self._chance.choice(foreign or idle))
        return Reference(is_engine=True) if self.has_engine and not others else None
