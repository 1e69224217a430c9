"""What scores while no worker is there: the workers while there is one, and else the service itself in its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from serve_app.composition import scoring
from serve_app.composition.scoring import EngineScorers
from serve_app.domain import (
    Call,
    Deadline,
    DeadlineExceededError,
    LabelScores,
    LoadSignals,
    ModelIdentity,
    OverloadedError,
    UnavailableError,
    ViewPlace,
    Views,
)
from serve_app.models.agreement import PolicyReference
from serve_app.models.fake import FakeEngine
from serve_app.remote.fallback import TRIED_EVERY_S, LocalScorer, ScorersWithFallback, WithFallback
from serve_app.settings import ModelSettings

LABELS, OTHER_LABELS = ("red",), ("blue",)
MODEL = FakeEngine(LABELS).identity


class Scoring:
    """A scorer that scores nothing: it says who was asked."""

    def __init__(self, name: str, view_s: float = 0.01) -> None:
        self.name = name
        self.view_s = view_s
        self.fault: Exception | None = None
        self.asked = 0

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        if self.fault is not None:
            raise self.fault
        return ModelIdentity(self.name, "0" * 64, 8)

    async def score(self, views: Views, call: Call, load: LoadSignals) -> LabelScores:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        values = np.zeros((len(views.pixels), 1), np.float32)
        return LabelScores(values, 1.0, MODEL, worker=self.name)


class Fallen:
    """A fleet and a local scorer, and who is there."""

    def __init__(self) -> None:
        self.is_there = True
        self.now_s = 0.0
        self.fleet, self.local = Scoring("fleet"), Scoring("local")

    def scorer(self, local: LocalScorer | None) -> WithFallback:
        return WithFallback(self.fleet, lambda: self.is_there, local, lambda: self.now_s)

    def call(self, seconds: float = 8.0) -> Call:
        return Call("r-1", Deadline.after(seconds, lambda: self.now_s))


@pytest.fixture
def fallen() -> Fallen:
    return Fallen()


def views(count: int = 1, size_px: int = 8) -> Views:
    places = tuple(ViewPlace(0, (0.0, 0.0, 1.0, 1.0)) for _ in range(count))
    return Views(np.zeros((count, size_px, size_px, 3), np.uint8), places, "image/png", 1, 1)


async def test_the_workers_score_while_one_is_there(fallen: Fallen) -> None:
    scorer = fallen.scorer(fallen.local)
    assert (await scorer.identify(Deadline.after(8.0))).name == "fleet"
    assert (await scorer.score(views(), fallen.call(), LoadSignals())).worker == "fleet"
    assert fallen.local.asked == 0


async def test_the_service_scores_while_none_is_there(fallen: Fallen) -> None:
    scorer, fallen.is_there = fallen.scorer(fallen.local), False
    assert (await scorer.identify(Deadline.after(8.0))).name == "local"
    assert (await scorer.score(views(), fallen.call(), LoadSignals())).worker == "local"
    assert fallen.fleet.asked == 0


async def test_a_picture_that_the_last_worker_left_behind_is_scored_here(fallen: Fallen) -> None:
    fallen.fleet.fault = UnavailableError("no worker is connected")
    scorer = fallen.scorer(fallen.local)
    assert (await scorer.identify(Deadline.after(8.0))).name == "local"
    assert (await scorer.score(views(), fallen.call(), LoadSignals())).worker == "local"
    assert fallen.fleet.asked == fallen.local.asked == 1


@pytest.mark.parametrize("fault", [OverloadedError("much to do"), DeadlineExceededError("too late")])
async def test_workers_that_are_busy_are_there(fallen: Fallen, fault: Exception) -> None:
    fallen.fleet.fault = fault
    with pytest.raises(type(fault)):
        await fallen.scorer(fallen.local).score(views(), fallen.call(), LoadSignals())
    assert fallen.local.asked == 0


async def test_without_a_fallback_pictures_are_refused_at_once(fallen: Fallen) -> None:
    scorer, fallen.is_there = fallen.scorer(None), False
    with pytest.raises(UnavailableError, match="no worker is connected"):
        await scorer.identify(Deadline.after(8.0))
    with pytest.raises(UnavailableError, match="no worker is connected"):
        await scorer.score(views(), fallen.call(), LoadSignals())
    assert fallen.fleet.asked == 0
    fallen.is_there, fallen.fleet.fault = True, UnavailableError("two failed")
    for ask in (scorer.identify(Deadline.after(8.0)), scorer.score(views(), fallen.call(), LoadSignals())):
        with pytest.raises(UnavailableError, match="two failed"):
            await ask


async def test_what_a_slow_cpu_cannot_finish_is_refused_at_once(fallen: Fallen) -> None:
    fallen.is_there, fallen.local.view_s = False, 1.0
    scorer = fallen.scorer(fallen.local)
    await scorer.score(views(8), fallen.call(), LoadSignals())
    with pytest.raises(DeadlineExceededError, match=r"takes 9\.0 s for this picture; 8\.0 s are left"):
        await scorer.score(views(9), fallen.call(), LoadSignals())
    with pytest.raises(DeadlineExceededError):
        await scorer.score(views(8), fallen.call(7.0), LoadSignals())
    assert fallen.local.asked == 1


async def test_once_a_minute_it_may_show_that_it_is_fast_again(fallen: Fallen) -> None:
    fallen.is_there, fallen.local.view_s = False, 10.0
    scorer = fallen.scorer(fallen.local)
    for minute in range(3):
        for _ in range(5):
            fallen.now_s += TRIED_EVERY_S / 5
            try:
                await scorer.score(views(), fallen.call(), LoadSignals())
            except DeadlineExceededError:
                continue
        assert fallen.local.asked == minute + 1


@pytest.fixture
async def make_local(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., EngineScorers]]:
    """Real scorers over fake engines whose passes take so long."""
    opened: list[EngineScorers] = []

    def make(*label_sets: tuple[str, ...], pass_s: float = 0.0) -> EngineScorers:
        engines = [FakeEngine(labels, pass_s=pass_s) for labels in label_sets]
        monkeypatch.setattr(scoring, "open_engines", lambda *_, **__: engines)
        settings = ModelSettings(source="fake", max_batch_views=1)
        opened.append(EngineScorers(settings, label_sets, PolicyReference("policy", "0" * 64), 8.0))
        return opened[-1]

    yield make
    for each in opened:
        await each.close()


async def test_a_flood_on_a_slow_cpu_is_answered_as_far_as_the_time_goes(
    fallen: Fallen, make_local: Callable[..., EngineScorers]
) -> None:
    fallen.is_there = False
    scorer = fallen.scorer(make_local(LABELS, pass_s=0.05).of(LABELS))

    async def score() -> str:
        try:
            await scorer.score(views(), Call("r-1", Deadline.after(1.0)), LoadSignals())
        except (OverloadedError, DeadlineExceededError) as error:
            return type(error).__name__
        return "scored"

    outcomes = await asyncio.gather(*(score() for _ in range(100)))
    assert 0 < outcomes.count("scored") <= 20
    assert set(outcomes) > {"scored"}


class Fleet:
    """The scorers of a fleet, and what was asked of them."""

    def __init__(self) -> None:
        self.scorer = Scoring("fleet")
        self.is_closed = False

    def of(self, labels: tuple[str, ...]) -> Scoring:
        return self.scorer

    def require_alive(self) -> None:
        pass

    async def close(self) -> None:
        self.is_closed = True


async def test_the_same_models_stand_in_for_each_set_of_labels(make_local: Callable[..., EngineScorers]) -> None:
    local = make_local(LABELS, OTHER_LABELS)
    scorers = ScorersWithFallback(Fleet(), [LABELS, OTHER_LABELS], lambda: False, local, is_same_model=True)
    for labels in (LABELS, OTHER_LABELS):
        assert await scorers.of(labels).identify(Deadline.after(8.0)) == MODEL
    scorers.require_alive()


async def test_it_ends_with_both() -> None:
    fleet, local = Fleet(), Fleet()
    await ScorersWithFallback(fleet, [LABELS], lambda: False, local, is_same_model=True).close()
    assert fleet.is_closed
    assert local.is_closed


async def test_other_models_have_labels_of_their_own_and_score_whoever_is_there(
    make_local: Callable[..., EngineScorers],
) -> None:
    scorers = ScorersWithFallback(Fleet(), [LABELS], lambda: False, make_local(OTHER_LABELS), is_same_model=False)
    assert await scorers.of(OTHER_LABELS).identify(Deadline.after(8.0)) == MODEL
    with pytest.raises(UnavailableError, match="no worker is connected"):
        await scorers.of(LABELS).identify(Deadline.after(8.0))
    with pytest.raises(UnavailableError, match="being replaced"):
        scorers.of(("green",))
