"""``make bench-engines``: what it compares and what it says, without computing anything; and one engine, really."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from benchmarks import bare_pass, engines
from benchmarks.bare_pass import BarePass, Rate
from benchmarks.record import Record
from serve_app.models.factory import OPENVINO_INT8


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The engines that were measured, in order."""
    order: list[str] = []

    def measure(wanted: BarePass) -> tuple[dict[int, Rate], int]:
        order.append(wanted.engine)
        rates = {"torch": {1: 40.0, 2: 100.0}, OPENVINO_INT8: {1: 80.0, 16: 120.0, 4: 171.0}}[wanted.engine]
        times = order.count(wanted.engine)
        return {size: Rate(each if times > 1 else 1.0, 5.0) for size, each in rates.items()}, times * 10_000_000

    monkeypatch.setattr(bare_pass, "measure", measure)
    return order


@pytest.mark.parametrize(("least_ratio", "holds"), [(1.7, True), (1.72, False)])
def test_the_best_batch_of_each_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str], least_ratio: float, holds: bool
) -> None:
    monkeypatch.setattr(engines, "LEAST_RATIO", least_ratio)
    with pytest.raises(typer.Exit) as ended:
        engines.bench(["random:ViT-B-32"], out=tmp_path / "engines.json")
    assert opened == ["torch", OPENVINO_INT8] * 2, "alternately, so that a neighbour slows both"
    record = Record.of_json((tmp_path / "engines.json").read_text("utf-8"))
    assert [row[1:] for row in record.tables[0].rows] == [
        ("torch", 40.0, None, 2, 100.0, 5.0, 10),
        (OPENVINO_INT8, 80.0, 120.0, 4, 171.0, 5.0, 10),
    ]
    (ratio,) = record.checks
    assert ratio.holds is holds
    assert ended.value.exit_code == (0 if holds else 1)


def test_an_engine_by_itself_has_rates_and_memory() -> None:
    rates, memory_bytes = bare_pass.measure(BarePass("fake:1ms", duration_s=0.01, max_batch_views=16))
    assert {1, 16} <= set(rates)
    assert rates[1].views_per_s <= 1000
    assert memory_bytes > 1_000_000
