"""The fake engine in the place of a classifier, so that no test needs its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from serve_app.models.fake import FakeEngine


def fake_classifier(name: str, outputs: Sequence[str], notice: str | None = None) -> FakeEngine:
    """An engine that a policy takes for the classifier of this name."""
    engine = FakeEngine(outputs)
    engine.identity = replace(engine.identity, name=name, digest="1" * 64, notice=notice)
    return engine
