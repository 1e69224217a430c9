"""What a worker's side of a connection needs of others: frames that travel, and models that score."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from serve_app.domain import Call, LabelScores, Views
from serve_app.remote.messages import BodyWork, Offer, Wanted, Work


class ConnectionLostError(Exception):
    """The front cannot be spoken to, for now. The message says why, and what to do if it stays so."""


class Socket(Protocol):
    """A connection that carries frames."""

    async def receive(self) -> bytes:
        """The next frame.

        Raises:
            ConnectionLostError: there is no connection any more.
        """
        ...

    async def send(self, frame: bytes) -> None:
        """Hand a frame over; waits while the network takes none.

        Raises:
            ConnectionLostError: there is no connection any more.
        """
        ...


class OpenedScorers(Protocol):
    """The warm models for what a front wants."""

    @property
    def device(self) -> str:
        """What computes, for people."""
        ...

    @property
    def offers(self) -> tuple[Offer, ...]:
        """For each set of labels, in the front's order."""
        ...

    @property
    def decoders(self) -> int:
        """Bodies that are decoded at once; 0 where views alone are taken."""
        ...

    async def decode(self, work: BodyWork, call: Call) -> Views:
        """The views of a body, where bodies are taken.

        Raises:
            UnscannedError: they cannot be had.
        """
        ...

    async def score(self, work: Work, call: Call) -> LabelScores:
        """The scores of its views, then of its faces.

        Raises:
            NotScannedError: they cannot be had in time, or not at all.
        """
        ...


OpenScorers = Callable[[Wanted], Awaitable[OpenedScorers]]
"""Loads and warms what is wanted. Raises ConfigurationError if that can never be."""
