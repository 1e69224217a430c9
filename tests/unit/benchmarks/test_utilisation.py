"""``make bench-utilisation``: operations counted, products timed, and what is said of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import torch
import typer
from open_clip.transformer import VisionTransformer

from benchmarks import bare_pass, matrix_rate, model_flop, utilisation
from benchmarks.matrix_rate import MatrixRate, best_rate
from benchmarks.model_flop import ImageTower, tower_of


def test_a_vision_transformer_has_the_operations_of_its_matrix_products() -> None:
    width, layers, patch_px, size_px, out = 64, 2, 16, 64, 24
    tower = VisionTransformer(
        image_size=size_px, patch_size=patch_px, width=width, layers=layers, heads=4, mlp_ratio=4.0, output_dim=out
    ).eval()
    patches = (size_px // patch_px) ** 2
    tokens = patches + 1
    embedding = patches * 3 * patch_px**2 * width
    projections = tokens * width * (3 * width + width)
    attention = 2 * tokens**2 * width
    mlp = 2 * tokens * width * 4 * width
    had_fast_path = torch.backends.mha.get_fastpath_enabled()
    counted = tower_of(tower, size_px)
    assert counted.flop_per_view == 2 * (embedding + layers * (projections + attention + mlp) + width * out)
    assert counted.parameters == sum(weights.numel() for weights in tower.parameters())
    assert torch.backends.mha.get_fastpath_enabled() == had_fast_path


def ticking(step_s: float) -> Callable[[], float]:
    """A clock that goes on by ``step_s`` each time it is read."""
    return (tick * step_s for tick in count()).__next__


def test_the_best_side_counts_and_a_product_that_takes_too_long_is_the_last() -> None:
    computed: list[int] = []
    # Read once before the products of a side and once before each of them, and then for the last time.
    rate = best_rate(
        "bfloat16", lambda side: lambda: computed.append(side), duration_s=4.0, sides=(10, 20, 40), clock=ticking(1.0)
    )
    assert computed == [10] * 4, "one that does not count and three that do; each took longer than half a second"
    assert rate == MatrixRate(2 * 10**3 * 3 / 4, 10, "bfloat16")


def test_each_side_is_measured_while_products_are_short() -> None:
    sides: list[int] = []
    rate = best_rate(
        "float32", lambda side: lambda: sides.append(side), duration_s=0.0, sides=(10, 20), clock=ticking(0.1)
    )
    assert sorted(set(sides)) == [10, 20]
    assert rate.side == 20


def test_the_matrix_rate_of_this_machine_is_measured_in_the_engines_precision() -> None:
    rate = matrix_rate.measure("cpu", "bf16", parameters=1, threads=1, duration_s=0.0, sides=(8,))
    assert (rate.side, rate.dtype) == (8, "bfloat16")
    assert rate.flop_per_s > 0


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was measured, in order. A view has 2e11 operations, or a tenth in a small model; the device does 8e12."""
    order: list[str] = []
    rates: Iterator[dict[int, float]] = iter([{1: 10.0, 2: 15.0}, {1: 12.0, 2: 14.0}] * 2)

    def measure_tower(source: str) -> ImageTower:
        return ImageTower(3_000_000, 2e11 if source == "large" else 2e10)

    def measure_matrix(*_: object) -> MatrixRate:
        order.append("matrix")
        return MatrixRate(8e12 - order.count("matrix"), 4096, "bfloat16")

    def measure_passes(options: bare_pass.EngineOptions, *_: object) -> dict[int, float]:
        order.append(options.source)
        return next(rates)

    monkeypatch.setattr(model_flop, "measure", measure_tower)
    monkeypatch.setattr(matrix_rate, "measure", measure_matrix)
    monkeypatch.setattr(bare_pass, "measure", measure_passes)
    return order


@pytest.mark.parametrize(("least", "holds"), [(0.37, True), (0.38, False)])
def test_the_best_of_each_is_divided_and_large_models_are_checked(
    tmp_path: Path, measured: list[str], least: float, holds: bool
) -> None:
    with pytest.raises(typer.Exit) as ended:
        utilisation.bench(["small", "large"], least=least, out=tmp_path)
    assert measured == ["matrix", "small"] * 2 + ["matrix", "large"] * 2, "in turns, so that a neighbour slows both"
    (path,) = tmp_path.glob("utilisation-*.json")
    report = json.loads(path.read_text("utf-8"))
    small, large = (section["table"]["rows"] for section in report["sections"])
    assert [row[:2] for row in large] == [["1", 12.0], ["2", 15.0]]
    assert [row[3] for row in large] == pytest.approx([0.3, 0.375])
    assert [row[3] for row in small] == pytest.approx([0.03, 0.0375])
    assert [(check["claim"], check["holds"]) for check in report["checks"]] == [
        ("large: utilisation at the best batch", holds)
    ]
    assert ended.value.exit_code == (0 if holds else 1)
