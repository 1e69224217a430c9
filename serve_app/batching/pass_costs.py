"""The time of a pass of each kind and batch size on this device, learnt while it runs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

Kind = Hashable
"""What the device computes for items. A pass computes one thing."""

# Weight of the newest pass in the running mean. A fifth follows a machine that slows down within a few passes, and
# does not let one noisy pass change the batch size.
_NEWEST_WEIGHT = 0.2

# The share of a pass's delay that counts for all batch sizes, since other programs slow every size down: if each size
# learnt from its own passes alone, sizes that nobody has tried since the start would look fast, and be chosen.
_COMMON_SHARE = 0.9

# A pass counts for at most this many times its expected time: one that hung for a minute says nothing of the next.
_MOST_TIMES = 15.0


class PassCosts:
    """Seconds per pass of one kind for each bucket (the batch sizes that the device has warmed)."""

    def __init__(self, seconds_by_bucket: Mapping[int, float]) -> None:
        """``seconds_by_bucket``: as measured at warm-up; at least one bucket, sizes and seconds above zero."""
        if not seconds_by_bucket or min(seconds_by_bucket) < 1 or min(seconds_by_bucket.values()) <= 0:
            raise ValueError("at least one bucket, with sizes and seconds above zero")
        self._seconds = dict(sorted(seconds_by_bucket.items()))
        self._upload_s = 0.0

    @property
    def by_size(self) -> Mapping[int, float]:
        """Seconds per pass of each bucket, smallest first."""
        return dict(self._seconds)

    @property
    def upload_s(self) -> float:
        """Seconds that it takes to upload a batch."""
        return self._upload_s

    @property
    def largest_bucket(self) -> int:
        """The most items of one pass."""
        return next(reversed(self._seconds))

    def bucket_for(self, items: int) -> int:
        """The smallest bucket that holds ``items``, or else the largest."""
        return next((bucket for bucket in self._seconds if bucket >= items), self.largest_bucket)

    def pass_s(self, items: int) -> float:
        """Seconds for one pass of ``items``, which must fit the largest bucket."""
        return self._seconds[self.bucket_for(items)]

    def total_s(self, items: int) -> float:
        """Seconds until ``items`` have all been through the device, in passes of the largest bucket."""
        full, rest = divmod(items, self.largest_bucket)
        return full * self._seconds[self.largest_bucket] + (self.pass_s(rest) if rest else 0.0)

    def batch_size(self, waiting: int, budget_s: float) -> int:
        """How many of ``waiting`` items to take so that the device does the most items per second within ``budget_s``.

        Where a pass costs the same for 1 and for 8 (a GPU), five items go as one pass that is padded to 8; where the
        cost grows with each item (a CPU), they go as 4 and 1, and nothing is computed for padding. Zero if not even
        the smallest pass fits the budget.
        """
        best, best_rate = 0, 0.0
        for bucket, seconds in self._seconds.items():
            taken = min(waiting, bucket)
            if seconds <= budget_s and taken / seconds >= best_rate:
                best, best_rate = taken, taken / seconds
            if bucket >= waiting:
                break
        return best

    def observe(self, items: int, seconds: float) -> None:
        """Learn from a pass of ``items`` that took ``seconds``."""
        if items > self.largest_bucket:  # uploaded before the limit was lowered
            return
        times = min(seconds / self._nearest_expected_s(items, seconds), _MOST_TIMES)
        factor = 1 + _NEWEST_WEIGHT * (times - 1)
        own = self.bucket_for(items)
        for bucket in self._seconds:
            # A power, so that the gains and losses of a noisy size cancel out for the other sizes too; shares of the
            # difference would add up, until nothing fitted a deadline.
            self._seconds[bucket] *= factor if bucket == own else factor**_COMMON_SHARE

    def _nearest_expected_s(self, items: int, seconds: float) -> float:
        """The expected time of a pass of ``items``, as near to ``seconds`` as is plausible.

        A device that pads takes the time of the whole bucket; one that does not takes less, in proportion.
        """
        bucket = self.bucket_for(items)
        below = max((each for each in self._seconds if each < bucket), default=0)
        below_s = self._seconds.get(below, 0.0)
        padded_s = self._seconds[bucket]
        unpadded_s = below_s + (padded_s - below_s) * (items - below) / (bucket - below)
        return min(max(seconds, min(unpadded_s, padded_s)), padded_s)

    def observe_upload(self, seconds: float) -> None:
        """Learn from the uploading of a batch that took ``seconds``."""
        self._upload_s += _NEWEST_WEIGHT * (seconds - self._upload_s)

    def limit_to(self, items: int) -> None:
        """Run no pass of more than ``items`` any more; the smallest bucket always stays."""
        smallest = min(self._seconds)
        self._seconds = {bucket: seconds for bucket, seconds in self._seconds.items() if bucket <= max(items, smallest)}


class CostsOfKinds:
    """What one device takes for each kind, which learns from its own passes alone: nobody chooses between kinds."""

    def __init__(self, costs: Mapping[Kind, PassCosts]) -> None:
        """``costs``: of every kind that there will be."""
        self._costs = costs

    def __getitem__(self, kind: Kind) -> PassCosts:
        return self._costs[kind]

    @property
    def upload_s(self) -> float:
        """Seconds that it takes to upload a batch of any kind."""
        return max(costs.upload_s for costs in self._costs.values())

    @property
    def longest_pass_s(self) -> float:
        """Seconds for a full pass of the dearest kind."""
        return max(costs.pass_s(costs.largest_bucket) for costs in self._costs.values())

    def total_s(self, items: Mapping[Kind, int]) -> float:
        """Seconds until so many items of each kind have all been through the device."""
        return sum(self._costs[kind].total_s(count) for kind, count in items.items())
