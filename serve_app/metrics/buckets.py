"""The buckets of histograms: Prometheus knows of a value between which two bounds it was, and no more."""

from __future__ import annotations

from typing import Final

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 7.0, 8.0, 8.5, 9.0, 10.0)
"""Close to each other where it matters: at the deadline of 8 s, at the latest answer (8.5 s), and at the 10 s at which
those who wait for pict-rs give up."""

VIEWS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
"""The sizes of passes."""
