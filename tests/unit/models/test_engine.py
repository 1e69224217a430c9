"""How a device's passes are measured when an engine warms up."""

from __future__ import annotations

import pytest

from serve_app.domain import DeviceMemoryError, ModelError
from serve_app.models.engine import measure_buckets


class Device:
    """Passes of known lengths, each a little shorter than the one before."""

    def __init__(self, view_s: float, fits: int = 1000) -> None:
        self.now_s = 0.0
        self.ran: list[int] = []
        self._view_s, self._fits = view_s, fits

    def run_pass(self, views: int) -> None:
        if views > self._fits:
            raise DeviceMemoryError("full")
        self.ran.append(views)
        self.now_s += views * self._view_s * (1 + 1 / self.ran.count(views))


@pytest.fixture
def device_of(monkeypatch: pytest.MonkeyPatch):
    def make(view_s: float, fits: int = 1000) -> Device:
        device = Device(view_s, fits)
        monkeypatch.setattr("serve_app.models.engine.time.perf_counter", lambda: device.now_s)
        return device

    return make


def test_the_shortest_of_three_passes_counts(device_of) -> None:
    device = device_of(0.01)
    assert measure_buckets(device.run_pass, 4, 9.0) == pytest.approx({1: 0.04 / 3, 2: 0.08 / 3, 4: 0.16 / 3})
    assert device.ran == [1, 1, 1, 2, 2, 2, 4, 4, 4]


def test_of_long_passes_two_are_enough_and_too_long_ones_are_left_out(device_of) -> None:
    device = device_of(0.25)
    assert list(measure_buckets(device.run_pass, 64, 2.0)) == [1, 2, 4]
    assert device.ran == [1, 1, 1, 2, 2, 4, 4, 8, 8]


def test_what_does_not_fit_into_memory_is_left_out(device_of) -> None:
    assert list(measure_buckets(device_of(0.01, fits=3).run_pass, 64, 2.0)) == [1, 2]
    with pytest.raises(ModelError, match="not even one view"):
        measure_buckets(device_of(0.01, fits=0).run_pass, 64, 2.0)
