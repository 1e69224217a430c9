"""``make bench-utilisation``: operations counted, products timed, and what is said of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from open_clip.transformer import VisionTransformer

from benchmarks import bare_pass, utilisation
from benchmarks.bare_pass import Rate
from benchmarks.processes import measured_apart
from benchmarks.utilisation import ImageTower, MatrixRate, measure_matrix_rate, measure_tower, tower_of


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


@pytest.mark.slow
def test_the_matrix_rate_of_this_machine_is_measured_in_the_engines_precision() -> None:
    rate = measured_apart(measure_matrix_rate, "cpu", "bf16", 1, 1, duration_s=0.01, sides=(8, 64))
    assert (rate.side, rate.dtype) == (64, "bfloat16"), "a larger product is a better one"
    assert rate.flop_per_s > 0


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was measured, in order. A view has 2e11 operations, or a tenth in a small model; the device does 8e12."""
    order: list[str] = []
    rates: Iterator[dict[int, Rate]] = iter([{1: Rate(10.0), 2: Rate(15.0)}, {1: Rate(12.0), 2: Rate(14.0)}] * 2)

    def measure(what: Callable[..., Any], *arguments: Any) -> ImageTower | MatrixRate:
        if what is measure_tower:
            return ImageTower(3_000_000, 2e11 if arguments == ("large",) else 2e10)
        order.append("matrix")
        return MatrixRate(8e12 - order.count("matrix"), 4096, "bfloat16")

    def measure_passes(options: bare_pass.EngineOptions, *_: object) -> dict[int, Rate]:
        order.append(options.source)
        return next(rates)

    monkeypatch.setattr(utilisation, "measured_apart", measure)
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
