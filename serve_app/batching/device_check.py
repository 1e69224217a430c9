"""Whether a device is broken, or was given bad items: a graphics card that has lost its context fails every pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from serve_app.batching.pass_costs import Kind
from serve_app.domain import DeviceMemoryError
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

# Passes of one item of a kind that fail one after the other: bad items are seldom so many, a broken device fails all.
_SUSPICIOUS_FAILURES = 3


class DeviceCheck:
    """Is told how passes end, and looks at the device itself when too many have failed."""

    def __init__(self, check: Callable[[Kind], Awaitable[None]] | None) -> None:
        """``check`` runs a pass of a kind that no item can spoil; without one a device is never found broken."""
        self._check = check
        self._failures_in_a_row: Counter[Kind] = Counter()
        self.is_broken = False
        """Whether only a new process can help."""

    def succeeded(self, kind: Kind) -> None:
        """A pass has."""
        del self._failures_in_a_row[kind]

    async def failed(self, kind: Kind, error: Exception) -> None:
        """A pass of one item has failed. One whose memory is full may recover."""
        if self._check is None or self.is_broken or isinstance(error, DeviceMemoryError):
            return
        self._failures_in_a_row[kind] += 1
        if self._failures_in_a_row[kind] < _SUSPICIOUS_FAILURES:
            return
        del self._failures_in_a_row[kind]
        try:
            await self._check(kind)
        except DeviceMemoryError:
            return
        except Exception as broken:
            self.is_broken = True
            text = "the device fails at every pass of a kind: only a new process can help"
            logger.error("device_broken", text, exc_info=broken)
