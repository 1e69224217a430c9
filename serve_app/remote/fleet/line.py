"""The connection to one worker, as the fleet sees it."""

from __future__ import annotations

from typing import Protocol

from serve_app.remote.messages import FromFront, Refused


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
