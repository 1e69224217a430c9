"""What a member tells its fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from serve_app.domain import UnscannedError
from serve_app.remote.fleet.picture import Answered, Picture
from serve_app.remote.messages import Refused

if TYPE_CHECKING:
    from serve_app.remote.fleet.member import Member


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
