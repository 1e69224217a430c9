"""What the cores idled, as Linux tells it, and what counts where it does not."""

import os

import pytest

from serve_app.batching.idle_cores import idle_s

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def core(number, idle_s, waiting_s):
    return f"cpu{number} 5 6 7 {idle_s * TICKS_PER_S} {waiting_s * TICKS_PER_S} 8 9 0 0 0\n"


def test_it_is_the_mean_over_the_usable_cores_of_what_they_idled_or_waited_for_disks(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1, 10})
    stat = tmp_path / "stat"
    stat.write_text("cpu  1 2 3 4 5 6 7 0 0 0\n" + core(0, 900, 0) + core(1, 30, 2) + core(10, 10, 0) + "intr 12 0 1\n")
    assert idle_s(stat) == pytest.approx((32 + 10) / 2)


def test_it_grows_with_time():
    # A core's idling may be booked anew as waiting for disks, and a tick is lost between the two.
    assert 0 <= idle_s() <= idle_s() + 1 / TICKS_PER_S


@pytest.mark.parametrize("text", [None, "", "cpu\n", "cpu  1 2 3 4 5\n", "cpu0\ncpu1\n", "cpu0 1 2 3 x y\n"])
def test_where_nobody_tells_all_time_counts_as_idle(tmp_path, monkeypatch, text):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    stat = tmp_path / "stat"
    if text is not None:
        stat.write_text(text)
    monkeypatch.setattr("time.monotonic", lambda: 12.5)
    assert idle_s(stat) == 12.5


def test_a_system_without_affinity_counts_as_idle(tmp_path, monkeypatch):
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("time.monotonic", lambda: 12.5)
    assert idle_s(tmp_path / "stat") == 12.5
