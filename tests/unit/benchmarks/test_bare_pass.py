"""The bare pass that efficiency and utilisation are measured with."""

from __future__ import annotations

from typing import Any

from benchmarks.bare_pass import MAX_BATCH_VIEWS, agreement, best_of, sustained_rates
from serve_app.clip.fake import FakeEngine


def test_the_bare_pass_is_measured_at_each_batch_size() -> None:
    rates = sustained_rates(FakeEngine(["a label"]), duration_s=0.0)
    assert max(rates) <= MAX_BATCH_VIEWS
    assert 1 in rates
    assert all(rate > 0 for rate in rates.values())


def test_two_bare_passes_agree_by_their_best_rates() -> None:
    assert agreement({1: 10.0, 2: 20.0}, {1: 25.0, 2: 3.0}) == agreement({1: 25.0}, {1: 20.0}) == 0.8


def test_the_best_batch_of_either_measurement_counts() -> None:
    assert best_of({1: 10.0, 32: 90.0}, {1: 11.0, 32: 80.0}) == (32, 90.0)
    assert best_of({1: 10.0}, {1: 12.0, 2: 11.0}) == (1, 12.0)


class EngineWithTwoPlaces(FakeEngine):
    """Has room for two staged batches, as one with a device of its own."""

    stages_ahead = True

    def __init__(self) -> None:
        super().__init__(["a label"])
        self.staged = self.encoded = self.most_ahead = 0

    def stage(self, views: Any) -> Any:
        assert self.staged - self.encoded < 2, "one batch is computed and one is staged: there is no room for a third"
        self.staged += 1
        return self.staged, super().stage(views)

    def encode(self, staged: Any) -> Any:
        if not isinstance(staged, tuple):  # a pass of the warm-up
            return super().encode(staged)
        turn, views = staged
        assert turn == self.encoded + 1, "in the order in which they were staged"
        self.most_ahead = max(self.most_ahead, self.staged - turn)
        cosines = super().encode(views)
        self.encoded += 1
        return cosines


def test_an_engine_that_stages_ahead_does_so_in_the_bare_pass() -> None:
    engine = EngineWithTwoPlaces()
    rates = sustained_rates(engine, duration_s=0.0, max_batch_views=4)
    assert list(rates) == [1, 2, 4]
    assert engine.staged == engine.encoded == 3 * (3 + 1), "three passes a size, and the batch that was staged last"
