"""What a fleet needs of others, and what it tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from serve_app.domain import Call, LabelScores, NotScannedError, UnscannedError, Views
from serve_app.remote.fleet.picture import Answered, Picture
from serve_app.remote.messages import FromFront, Refused

if TYPE_CHECKING:
    from serve_app.remote.fleet.member import Member


class Line(Protocol):
    """The connection to one worker. Whoever owns the socket implements it."""

    def send(self, message: FromFront) -> None:
        """Send ``message`` behind all earlier ones. Never waits, and raises nothing, also once it is closed."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """Bytes that were handed over and are not yet written to the network."""
        ...

    def close(self, refused: Refused | None = None) -> None:
        """Say why, where there is a reason that the worker should know, and end the connection."""
        ...


class Dispatcher(Protocol):
    """The fleet, as a member calls it."""

    def answered(self, member: Member, picture: Picture, outcome: Answered | UnscannedError) -> None:
        """A worker has answered for ``picture``."""
        ...

    def late(self, member: Member, picture: Picture, why: str) -> None:
        """A worker should have answered for ``picture``; it may still do so."""
        ...

    def ended(self, member: Member, why: str, refused: Refused | None) -> None:
        """A worker is to be a member no longer."""
        ...

    def changed(self) -> None:
        """A worker may take more than before."""
        ...


class FleetWatcher(Protocol):
    """Metrics, logs, notices and trust: told on the event loop what happens, they return at once and raise nothing."""

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
