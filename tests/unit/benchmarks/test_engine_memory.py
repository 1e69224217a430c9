"""An engine by itself: the table has its speed and its memory."""

from __future__ import annotations

import sys

import pytest

from benchmarks import engine_memory


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells the memory that a process would give back")
def test_each_source_is_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    engine_memory.bench(["fake:1ms"], threads=1, duration_s=0.01)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "fake:1ms" in line]
    _, one, sixteen, memory_mb = (cell.strip() for cell in row.strip("│┃").split("│"))
    assert 0 < float(one) <= 1000
    assert 0 < float(sixteen) <= 16_000
    assert 1 < float(memory_mb) < 1000
