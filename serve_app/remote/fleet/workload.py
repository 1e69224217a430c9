"""What a worker has in flight, and when it will have answered all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from serve_app.domain import Clock, Lane
from serve_app.remote.fleet.throughput import Throughput
from serve_app.remote.messages import Offer

_NEWEST_WEIGHT: Final = 0.2
_MOST_TIMES: Final = 3.0
"""A picture counts for at most this many times its expected time: a pause says nothing of what comes after it."""
_LEAST_SLOWNESS, _MOST_SLOWNESS = 0.02, 200.0

_MARGIN: Final = 1.5
"""So many times as slow as what it does of late shows may a device be thought: it may have had nothing to do."""

# A pass is large enough if its rate is this part of the best.
_GOOD_RATE: Final = 0.9

_SETTLED_S, _RECOVERY_S = 5.0, 60.0
"""After the first of them without an answer, half of a device's slowness is forgotten in each of the second."""

_MOST_BUCKET: Final = 4096
"""Of a worker's offer: a larger size is a stranger's nonsense, and would cost memory."""


_LEAST_PASS_S: Final = 1e-6
_MOST_PASS_S: Final = 600.0
"""Of an offer: no device takes longer, or less."""


class PassTimes:
    """Seconds for rows on a device, in passes that are as large as they can be."""

    def __init__(self, pass_s: Mapping[int, float]) -> None:
        """``pass_s``: by batch size, from an offer for which :meth:`are_sound` holds."""
        sizes = sorted(pass_s)
        self._largest = sizes[-1]
        # Between two sizes in proportion: the worker decides how it cuts its batches, and the front sees their mean.
        self._by_rows = [pass_s[sizes[0]]] * (sizes[0] + 1)
        for below, above in pairwise(sizes):
            step_s = (pass_s[above] - pass_s[below]) / (above - below)
            self._by_rows += [pass_s[below] + step_s * more for more in range(1, above - below + 1)]
        self._by_rows[0] = 0.0
        best = max(size / seconds for size, seconds in pass_s.items())
        self.good_rows = min(size for size, seconds in pass_s.items() if size / seconds >= _GOOD_RATE * best)
        """The fewest of a pass that uses the device well."""
        self.least_row_s = 1.0 / best
        """Of a row, in the pass that uses it best."""

    @staticmethod
    def are_sound(pass_s: Mapping[int, float]) -> bool:
        """Whether an offer can be true."""
        if not pass_s or min(pass_s) < 1 or max(pass_s) > _MOST_BUCKET:
            return False
        return all(_LEAST_PASS_S <= seconds <= _MOST_PASS_S for seconds in pass_s.values())

    def total_s(self, rows: int) -> float:
        """Seconds until ``rows`` have all been through the device."""
        full, rest = divmod(rows, self._largest)
        return full * self._by_rows[-1] + self._by_rows[rest]


@dataclass(frozen=True, slots=True)
class Expected:
    """Of rows that are sent: the seconds of their own pass, and those until it ends, if the link is not what lasts."""

    own_s: float
    ends_s: float

    def held_s(self, on_link_s: float) -> float:
        """Seconds for which the worker has them, where the link took ``on_link_s``."""
        return max(self.own_s, self.ends_s - on_link_s)


class Workload:
    """Rows (views and faces) in flight, by lane and set of labels, and their predicted end."""

    def __init__(self, offers: Sequence[Offer], clock: Clock) -> None:
        """``offers``: of the worker."""
        self._clock = clock
        self._times = [PassTimes(offer.pass_s) for offer in offers]
        self._rows: dict[Lane, Counter[int]] = {lane: Counter() for lane in Lane}
        self._all_rows: Counter[int] = Counter()
        self._total_rows = 0
        self._learnt_slowness, self._learnt_s = 1.0, clock()
        self._all_done_s = clock()
        self._good_rows = max(times.good_rows for times in self._times)
        self._good_pass_s = max(times.total_s(times.good_rows) for times in self._times)
        self._least_row_s = min(times.least_row_s for times in self._times)
        self._scored = Throughput(clock)

    @property
    def _slowness(self) -> float:
        """Of its passes against its offer. It is thought to recover, or nothing would be asked of it ever again."""
        waited_s = self._clock() - self._learnt_s
        if self._learnt_slowness <= 1.0 or waited_s < _SETTLED_S:
            return self._learnt_slowness
        return float(self._learnt_slowness ** (0.5 ** (waited_s / _RECOVERY_S)))

    @property
    def rows(self) -> int:
        """In flight."""
        return self._total_rows

    @property
    def good_pass_s(self) -> float:
        """Seconds of a pass that uses the device well."""
        return self._good_pass_s * self._slowness

    @property
    def view_s(self) -> float:
        """Seconds of the device for a view in such a pass."""
        return self.good_pass_s / self._good_rows

    def cost_s(self, rows: Mapping[int, int]) -> float:
        """Seconds for so many rows of each set of labels."""
        return self._slowness * sum(self._times[label_set].total_s(count) for label_set, count in rows.items())

    def remaining_s(self, lane: Lane) -> float:
        """Seconds until all is answered that goes before another picture of ``lane``."""
        if not self.rows:
            return 0.0
        # What is late by x is expected to need x more, as the batcher expects of a pass.
        all_s = abs(self._all_done_s - self._clock())
        if lane is Lane.BACKGROUND or not self._rows[Lane.BACKGROUND]:
            return all_s
        return min(all_s, self.cost_s(self._rows[Lane.LIVE]) + self.good_pass_s)

    def add(self, label_set: int, rows: int, lane: Lane, on_link_s: float) -> Expected:
        """Count rows in, whose link is predicted to take ``on_link_s`` there and back."""
        now_s, was_idle = self._clock(), not self.rows
        before_s, ahead_s = self.cost_s(self._all_rows), self.remaining_s(lane)
        self._count(label_set, rows, lane)
        more_s, own_s = self.cost_s(self._all_rows) - before_s, self.cost_s({label_set: rows})
        ends_s = 0.0 if was_idle else max(self._all_done_s, now_s) + more_s
        self._all_done_s = max(ends_s, now_s + on_link_s + own_s)
        return Expected(own_s, ahead_s + more_s)

    def remove(self, label_set: int, rows: int, lane: Lane) -> None:
        """Count rows out that nobody wants any more: the others come as much earlier."""
        before_s = self.cost_s(self._all_rows)
        self._count(label_set, -rows, lane)
        self._all_done_s -= before_s - self.cost_s(self._all_rows)

    def answered(self, label_set: int, rows: int, lane: Lane, on_link_s: float) -> None:
        """Count rows out that were answered. The others are at the worker by now, but for ``on_link_s``."""
        self._count(label_set, -rows, lane)
        self._all_done_s = self._clock() + max(self.cost_s(self._all_rows), on_link_s)

    def _count(self, label_set: int, rows: int, lane: Lane) -> None:
        for counts in (self._rows[lane], self._all_rows):
            counts[label_set] += rows
            if not counts[label_set]:
                del counts[label_set]
        self._total_rows += rows

    def learn(self, rows: int, expected_s: float, held_s: float) -> None:
        """From how long the worker had ``rows`` that are still counted in, and was expected to have them."""
        times = min(held_s / expected_s, _MOST_TIMES)
        # Those that were there together waited for each other, and count as one.
        weight = _NEWEST_WEIGHT * rows / max(rows, self.rows)
        slowness = self._slowness * (1.0 + weight * (times - 1.0))
        # As if each pass had been as good as it can be: a device that were slower had not done as many.
        self._scored.add(rows * self._least_row_s)
        slowness = min(slowness, _MARGIN / max(self._scored.per_s, _MARGIN / _MOST_SLOWNESS))
        self._learnt_slowness, self._learnt_s = max(slowness, _LEAST_SLOWNESS), self._clock()
