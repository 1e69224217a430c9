"""The bare pass that efficiency and utilisation are measured with."""

from __future__ import annotations

import threading
from typing import Any

from benchmarks.bare_pass import MAX_BATCH_VIEWS, Rate, Rates, best_of, sustained_rates
from serve_app.models.fake import FakeEngine


def test_the_bare_pass_is_measured_at_each_batch_size() -> None:
    measured = sustained_rates(FakeEngine(["a label"]), duration_s=0.0)
    assert max(measured) <= MAX_BATCH_VIEWS
    assert 1 in measured
    assert all(rate.views_per_s > 0 and rate.core_ms >= 0 for rate in measured.values())


def rates(**views_per_s: float) -> Rates:
    return {int(size.removeprefix("of_")): Rate(each) for size, each in views_per_s.items()}


def test_the_best_batch_of_either_measurement_counts() -> None:
    assert best_of([rates(of_1=10, of_32=90), rates(of_1=11, of_32=80)]) == (32, Rate(90))
    assert best_of([rates(of_1=10), rates(of_1=12, of_2=11)]) == (1, Rate(12))


UPLOADED_PER_SIZE = 3 + 1
"""Three passes, and the batch that was uploaded during the last one."""


class EngineWithTwoPlaces(FakeEngine):
    """Has room for two uploaded batches, as one with a device of its own."""

    uploads_ahead = True

    def __init__(self) -> None:
        super().__init__(["a label"])
        self.uploaded = self.encoded = 0
        self._changed = threading.Condition()

    def upload(self, views: Any) -> Any:
        assert self.uploaded - self.encoded < 2, (
            "one batch is computed and one is uploaded: there is no room for a third"
        )
        with self._changed:
            self.uploaded += 1
            self._changed.notify()
        return self.uploaded, super().upload(views)

    def encode(self, uploaded: Any) -> Any:
        if not isinstance(uploaded, tuple):  # a pass of the warm-up
            return super().encode(uploaded)
        number, views = uploaded
        assert number == self.encoded + 1, "in the order in which they were uploaded"
        if number % UPLOADED_PER_SIZE:  # not the last of its size
            with self._changed:
                assert self._changed.wait_for(lambda: self.uploaded > number, timeout=10), "uploaded beside this pass"
        cosines = super().encode(views)
        self.encoded += 1
        return cosines


def test_an_engine_that_uploads_ahead_does_so_in_the_bare_pass() -> None:
    engine = EngineWithTwoPlaces()
    measured = sustained_rates(engine, duration_s=0.0, max_batch_views=4)
    assert list(measured) == [1, 2, 4]
    assert engine.uploaded == engine.encoded == 3 * UPLOADED_PER_SIZE


def test_a_device_of_its_own_is_measured_with_larger_batches() -> None:
    assert max(sustained_rates(EngineWithTwoPlaces(), duration_s=0.0)) == 128
    assert max(sustained_rates(FakeEngine(["a label"]), duration_s=0.0)) == MAX_BATCH_VIEWS
