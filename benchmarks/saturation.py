"""How much a service gets through: by connections that never rest, as many of them as gain most.

With too few, batches stay small and cores idle; with too many, some are refused, and a client that never rests sends
again at once, which takes from what the service gets through. How many are right depends on the model and the machine,
so their number is doubled until one is refused, and the best counts. That a doubling gained nothing says little of the
next: batches fill in steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.load import Load, MakeBody, saturate
from benchmarks.tables import steady_goodput_per_s

# Not a power of two, as batches are: if as many wait as a pass takes, all come back at once and the cores idle between.
FEWEST_CONNECTIONS = 24
MOST_CONNECTIONS = 192


@dataclass(frozen=True, slots=True)
class Saturation:
    """The load of ``connections`` that never rest."""

    connections: int
    load: Load

    @property
    def pictures_per_s(self) -> float:
        """Looked at, without the first tenth of the load, in which the queues fill."""
        return steady_goodput_per_s(self.load)

    @property
    def is_refused(self) -> bool:
        """Whether the service had more than it wanted."""
        return any(outcome.is_refused for outcome in self.load.outcomes)


async def find_capacity(
    url: str,
    make_body: MakeBody,
    duration_s: float,
    connections: int | None = None,
    on_try: Callable[[int], None] = lambda _: None,
) -> Saturation:
    """The best of the numbers of connections that were tried.

    Args:
        url: where pictures are sent.
        make_body: makes them.
        duration_s: seconds for each number of connections, behind a warm-up.
        connections: the only number to try; by default 16 and on.
        on_try: is told each number before it is tried.
    """
    tried = connections or FEWEST_CONNECTIONS
    on_try(tried)
    latest = best = Saturation(tried, await saturate(url, make_body, tried, duration_s))
    while connections is None and latest.pictures_per_s > 0 and not latest.is_refused and tried < MOST_CONNECTIONS:
        tried *= 2
        on_try(tried)
        latest = Saturation(tried, await saturate(url, make_body, tried, duration_s))
        best = max(best, latest, key=lambda each: each.pictures_per_s)
    return best
