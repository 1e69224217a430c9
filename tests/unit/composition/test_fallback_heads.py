"""The front's own engine, while no worker is there: it has the heads that workers are sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from serve_app.composition.fallback import with_fallback
from serve_app.composition.scoring import EngineScorer
from serve_app.domain import Call, Deadline, LoadSignals, head_label
from serve_app.models.heads import Head, write_head
from serve_app.policy import Policy
from serve_app.remote.fallback import ScorersWithFallback
from serve_app.remote.fleet import Fleet
from serve_app.remote.scorers import RemoteScorers
from serve_app.settings import parse_settings
from tests.unit.worker.front import NO_FACES, views


async def test_the_processor_scores_heads_too(make_policy: Callable[..., Policy], tmp_path: Path) -> None:
    head = Head("fake", "0" * 64, np.array([0.6, 0.8, 0.0], np.float32), 8.0, -2.0, {})
    label = head_label("spam", write_head(tmp_path / "spam.safetensors", head))
    sets = ((*make_policy().labels, label),)
    settings = parse_settings({"model": {"source": "fake"}, "remote": {"fallback": "cpu"}})
    content = {label: (tmp_path / "spam.safetensors").read_bytes()}
    fleet = RemoteScorers(Fleet(sets), sets)
    scorers = with_fallback(settings, make_policy(), fleet, sets, lambda: False, content)
    assert isinstance(scorers, ScorersWithFallback)
    pixels = views(2)
    own = scorers.own_of(sets[0])
    assert isinstance(own, EngineScorer)
    scored = await own.score_pixels(pixels, NO_FACES, Call("1", Deadline.after(8.0)), LoadSignals())
    cosines = pixels.mean(axis=(1, 2)) / 255 @ head.direction
    assert scored.values[:, -1] == pytest.approx(head.probabilities(cosines.astype(np.float32)), abs=1e-4)
    await scorers.close()
