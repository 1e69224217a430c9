"""The figures of docs/calibration.md are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from serve_app.calibration.fitting import plan

PAGE = (Path(__file__).parents[3] / "docs" / "calibration.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([\d,]+) \| (\d+) \| (0\.\d+) % \|$", PAGE, re.MULTILINE)


def test_the_table_of_allowed_false_positives_is_right() -> None:
    assert len(ROWS) == 4
    for pictures, allowed, bound in ROWS:
        planned = plan(int(pictures.replace(",", "")), 0.005)
        assert (planned.allowed, f"{planned.bound:.3%}") == (int(allowed), f"{bound}%")
