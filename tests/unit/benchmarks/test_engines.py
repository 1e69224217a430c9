"""``make bench-engines``: what it compares and what it says, without computing anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from benchmarks import bare_pass, engines
from benchmarks.bare_pass import Rate
from serve_app.models.open import OPENVINO_INT8


@pytest.mark.parametrize(("int8_per_s", "holds"), [(169.0, False), (171.0, True)])
def test_the_best_batch_of_each_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, int8_per_s: float, holds: bool
) -> None:
    opened: list[str] = []

    def measure(options: bare_pass.EngineOptions, *_: object) -> dict[int, Rate]:
        opened.append(options.engine)
        rates = {"torch": {1: 40.0, 2: 100.0}, OPENVINO_INT8: {1: 80.0, 2: 120.0, 4: int8_per_s}}[options.engine]
        return {size: Rate(each if len(opened) > 2 else 1.0) for size, each in rates.items()}

    monkeypatch.setattr(bare_pass, "measure", measure)
    with pytest.raises(typer.Exit) as ended:
        engines.bench(["random:ViT-B-32"], out=tmp_path)
    assert opened == ["torch", OPENVINO_INT8] * 2, "in turns, so that a neighbour slows both"
    (path,) = tmp_path.glob("engines-*.json")
    report = json.loads(path.read_text("utf-8"))
    assert report["sections"][0]["table"]["rows"] == [
        ["1", 40.0, 80.0, 2.0],
        ["2", 100.0, 120.0, 1.2],
        ["4", None, int8_per_s, None],
    ]
    assert [check["holds"] for check in report["checks"]] == [holds]
    assert ended.value.exit_code == (0 if holds else 1)
