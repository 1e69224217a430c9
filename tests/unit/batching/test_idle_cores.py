"""What the cores idled, as Linux tells it, and what counts where it does not."""

import os

import pytest

from serve_app.batching.idle_cores import idle_s

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def test_it_is_the_mean_over_the_cores_of_what_they_idled_or_waited_for_disks(tmp_path):
    stat = tmp_path / "stat"
    stat.write_text(f"cpu  5 6 7 {30 * TICKS_PER_S} {2 * TICKS_PER_S} 8 9 0 0 0\ncpu0 1 2 3 4 5 6 7 0 0 0\n")
    assert idle_s(stat) == pytest.approx(32 / (os.cpu_count() or 1))


@pytest.mark.parametrize("text", [None, "", "cpu\n"])
def test_where_nobody_tells_all_time_counts_as_idle(tmp_path, monkeypatch, text):
    stat = tmp_path / "stat"
    if text is not None:
        stat.write_text(text)
    monkeypatch.setattr("time.monotonic", lambda: 12.5)
    assert idle_s(stat) == 12.5
