"""docs/tuning.md: its command prints the stages, and the settings, metrics and benchmarks that it names are there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from serve_app.domain import Call, Deadline, Lane
from serve_app.domain.limits import Limits
from serve_app.metrics import FrontMetrics, NodePage, page_text
from serve_app.settings import Settings
from serve_app.stages import Stage, tell_stage
from tests.documentation.pages import ROOT, commands_of

PAGE = (ROOT / "docs" / "tuning.md").read_text("utf-8")


def test_the_mean_of_each_stage_is_printed(tmp_path: Path) -> None:
    (fence,) = commands_of("docs/tuning.md")
    metrics, node = FrontMetrics(), NodePage(tmp_path / "metrics")
    for seconds, lane in ((0.1, Lane.LIVE), (0.3, Lane.LIVE), (9.0, Lane.BACKGROUND)):
        tell_stage(Stage.DECODE_WAIT, Call("r-1", Deadline.after(8.0), lane), 5.0, 5.0 + seconds)
    tell_stage(Stage.RECORD, Call("r-1", Deadline.after(8.0)), 5.0, 5.0015)
    metrics.close()
    node.write("Ingress-1", page_text(metrics.registry))
    for number, page in enumerate((page_text(metrics.registry), node.text())):
        file = tmp_path / f"{number}.prom"
        file.write_bytes(page)
        command = fence.body.replace("curl -s http://127.0.0.1:14053/metrics", f"cat {file}")
        done = subprocess.run(["sh", "-euc", command], capture_output=True, text=True, check=True)
        assert [line.split() for line in done.stdout.splitlines()] == [
            ["decode_wait", "200.0", "ms"],
            ["record", "1.5", "ms"],
        ]


def test_every_setting_is_one() -> None:
    table = PAGE.partition("## Settings")[2].partition("**Views of stills.**")[0]
    named = re.findall(r"(?m)^\| `([a-z_.]+)` \|", table)
    assert {"decode_workers", "limits.max_inside_bytes", "model.engine"} <= set(named)
    assert [each for each in named if not is_setting(each)] == []
    assert not is_setting("model.cpu_thread")


def is_setting(path: str) -> bool:
    known: Any = Settings
    *sections, name = path.split(".")
    for section in sections:
        known = known.model_fields[section].annotation
    fields = known.model_fields if issubclass(known, BaseModel) else Limits.__dataclass_fields__
    return name in fields


def test_every_metric_is_documented() -> None:
    documented = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    named = set(re.findall(r"`(pictwarden_\w+)`", PAGE))
    assert len(named) > 4
    assert [each for each in named if f"| `{each}` |" not in documented] == []


def test_every_row_of_the_benchmark_is_one_that_it_prints() -> None:
    rows = re.findall(r"(?m)^\| \*([^*]+)\*: ", PAGE)
    measured = (ROOT / "docs" / "performance.md").read_text("utf-8")
    assert len(rows) == 3
    assert [each for each in rows if f"\n| {each}" not in measured] == []
