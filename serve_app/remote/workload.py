"""What a worker has in flight, and when it will have answered all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from serve_app.batching import PassCosts
from serve_app.domain import Clock, Lane
from serve_app.remote.messages import Offer

_NEWEST_WEIGHT = 0.2
_MOST_TIMES = 15.0
_LEAST_SLOWNESS, _MOST_SLOWNESS = 0.02, 200.0

# A pass is large enough if its rate is this part of the best.
_GOOD_RATE = 0.9


class Workload:
    """Rows (views and faces) in flight, by lane and set of labels, and their predicted end."""

    def __init__(self, offers: Sequence[Offer], clock: Clock) -> None:
        """``offers``: of the worker."""
        self._clock = clock
        self._costs = [PassCosts(offer.pass_s) for offer in offers]
        self._rows: dict[Lane, Counter[int]] = {lane: Counter() for lane in Lane}
        self._slowness = 1.0
        self._all_done_s = clock()
        self._good_pass_s = max(_good_pass_s(offer.pass_s) for offer in offers)

    @property
    def rows(self) -> int:
        """In flight."""
        return sum(rows.total() for rows in self._rows.values())

    @property
    def good_pass_s(self) -> float:
        """Seconds of a pass that uses the device well."""
        return self._good_pass_s * self._slowness

    @property
    def view_s(self) -> float:
        """Seconds of the device for a view, in the largest pass of the dearest set of labels."""
        return max(costs.pass_s(costs.largest_bucket) / costs.largest_bucket for costs in self._costs) * self._slowness

    def cost_s(self, rows: Mapping[int, int]) -> float:
        """Seconds for so many rows of each set of labels."""
        return self._slowness * sum(self._costs[label_set].total_s(count) for label_set, count in rows.items())

    def remaining_s(self, lane: Lane) -> float:
        """Seconds until all is answered that goes before another picture of ``lane``."""
        if not self.rows:
            return 0.0
        # As late as it is already, where it should have been done: as for a pass that is late.
        all_s = abs(self._all_done_s - self._clock())
        if lane is Lane.BACKGROUND or not self._rows[Lane.BACKGROUND]:
            return all_s
        return min(all_s, self.cost_s(self._rows[Lane.LIVE]) + self.good_pass_s)

    def add(self, label_set: int, rows: int, lane: Lane, on_link_s: float) -> float:
        """Count rows in that the link brings there and back in ``on_link_s``: how long the worker will have them."""
        now_s, was_idle = self._clock(), not self.rows
        before_s = self.cost_s(self._all_rows())
        ahead_s = self.remaining_s(lane)
        self._rows[lane][label_set] += rows
        more_s, own_s = self.cost_s(self._all_rows()) - before_s, self.cost_s({label_set: rows})
        ends_s = 0.0 if was_idle else max(self._all_done_s, now_s) + more_s
        self._all_done_s = max(ends_s, now_s + on_link_s + own_s)
        return max(own_s, ahead_s + more_s - on_link_s)

    def remove(self, label_set: int, rows: int, lane: Lane, is_answer: bool) -> None:
        """Count rows out: answered, or wanted by nobody any more."""
        before_s = self.cost_s(self._all_rows())
        self._rows[lane][label_set] -= rows
        self._rows[lane] = +self._rows[lane]
        after_s = self.cost_s(self._all_rows())
        # An answer shows where the worker is; without one, the rest comes as much earlier as this would have taken.
        self._all_done_s = self._clock() + after_s if is_answer else self._all_done_s - (before_s - after_s)

    def learn(self, expected_s: float, held_s: float) -> None:
        """From how long the worker had a picture, and was expected to have it."""
        times = min(held_s / expected_s, _MOST_TIMES)
        slowness = self._slowness * (1.0 + _NEWEST_WEIGHT * (times - 1.0))
        self._slowness = min(max(slowness, _LEAST_SLOWNESS), _MOST_SLOWNESS)

    def _all_rows(self) -> Counter[int]:
        return self._rows[Lane.LIVE] + self._rows[Lane.BACKGROUND]


def _good_pass_s(pass_s: Mapping[int, float]) -> float:
    rates = {size: size / seconds for size, seconds in pass_s.items()}
    return pass_s[min(size for size, rate in rates.items() if rate >= _GOOD_RATE * max(rates.values()))]
