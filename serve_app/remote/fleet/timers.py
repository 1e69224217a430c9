"""Timers of the event loop, beside a clock that is compared with them."""

from __future__ import annotations

from typing import Final

EARLY_S: Final = 0.002
"""A timer may end so much before its time on the clock: uvloop counts in whole milliseconds."""
