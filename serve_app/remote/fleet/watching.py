"""What a fleet tells those who watch it: for metrics, logs, notices and trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from serve_app.domain import Call, LabelScores, NotScannedError, Views

if TYPE_CHECKING:
    from serve_app.remote.fleet.member import Member


class FleetWatcher(Protocol):
    """Is told what happens, on the event loop; it returns at once and raises nothing."""

    def joined(self, member: Member) -> None:
        """A worker is a member, and has had no picture yet: it may be set on trial here."""
        ...

    def left(self, member: Member, why: str) -> None:
        """A worker is no member any more."""
        ...

    def scored(self, member: Member, label_set: int, views: Views, call: Call, scores: LabelScores) -> None:
        """A picture of :meth:`Fleet.score` has its scores from ``member``."""
        ...

    def handed_over(self, member: Member, call: Call, why: str) -> None:
        """A picture that ``member`` had is to be scored by another one."""
        ...

    def failed(self, call: Call, error: NotScannedError) -> None:
        """A picture of :meth:`Fleet.score` was not scored."""
        ...
