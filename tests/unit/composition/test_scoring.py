"""The scorers of a process: a picture pays for the models of its own labels, on the one device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from numpy.typing import NDArray

from serve_app.composition import scoring
from serve_app.composition.scoring import EngineScorers
from serve_app.domain import Call, Deadline, LoadSignals, ModelIdentity, UnavailableError, ViewPlace, Views
from serve_app.models.agreement import PolicyReference
from serve_app.models.fake import FakeEngine
from serve_app.settings import ModelSettings

SMALL, LARGE = ("red",), ("green", "blue")


class Watched(FakeEngine):
    """A fake engine with a name that counts the views it saw."""

    def __init__(self, name: str, labels: tuple[str, ...], size_px: int) -> None:
        super().__init__(labels, size_px)
        self.identity = ModelIdentity(name, name[0] * 64, size_px)
        self.seen = 0

    def encode(self, uploaded: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen += len(uploaded)
        return super().encode(uploaded)


@pytest.fixture
def engines() -> list[Watched]:
    return [Watched("small", SMALL, 8), Watched("large", LARGE, 16)]


@pytest.fixture
async def scorers(engines: list[Watched], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EngineScorers]:
    monkeypatch.setattr(scoring, "open_engines", lambda *_, **__: engines)
    opened = EngineScorers(ModelSettings(source="fake"), [SMALL, LARGE], PolicyReference("policy", "0" * 64), 8.0)
    yield opened
    await opened.close()


def call() -> Call:
    return Call("a request", Deadline.after(8.0))


def views(count: int, size_px: int) -> Views:
    """Black ones."""
    places = tuple(ViewPlace(0, (0.0, 0.0, 1.0, 1.0)) for _ in range(count))
    return Views(np.zeros((count, size_px, size_px, 3), np.uint8), places, "image/png", 1, 1)


async def test_a_view_goes_through_the_models_of_its_own_labels_alone(
    scorers: EngineScorers, engines: list[Watched]
) -> None:
    pictures = [(SMALL, views(3, 8)), (LARGE, views(2, 16)), (SMALL, views(1, 8))]
    scored = await asyncio.gather(
        *(scorers.of(labels).score(picture, call(), LoadSignals()) for labels, picture in pictures)
    )
    assert [each.values.shape for each in scored] == [(3, 1), (2, 2), (1, 1)]
    assert [each.model.name for each in scored] == ["small", "large", "small"]
    assert [engine.seen for engine in engines] == [4, 2]


async def test_each_has_its_own_model_and_size(scorers: EngineScorers) -> None:
    identities = [await scorers.of(labels).identify(call().deadline) for labels in (SMALL, LARGE)]
    assert [(each.name, each.image_size_px) for each in identities] == [("small", 8), ("large", 16)]
    with pytest.raises(UnavailableError, match="wrong views"):
        await scorers.of(SMALL).score(views(1, 16), call(), LoadSignals())


async def test_other_labels_are_those_of_another_configuration(scorers: EngineScorers) -> None:
    with pytest.raises(UnavailableError, match="being replaced"):
        scorers.of(("blue",))


async def test_one_that_is_closed_before_its_first_use_is_unavailable(scorers: EngineScorers) -> None:
    await scorers.close()
    with pytest.raises(UnavailableError):
        await scorers.of(SMALL).score(views(1, 8), call(), LoadSignals())
    with pytest.raises(UnavailableError):
        scorers.require_alive()


async def test_scorers_whose_device_is_broken_are_not_alive(
    scorers: EngineScorers, engines: list[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a suspend, when CUDA has lost its context: every pass raises at once, and nothing hangs."""

    def fail(_: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise RuntimeError("CUDA error: unspecified launch failure")

    for engine in engines:
        monkeypatch.setattr(engine, "encode", fail)
    for _ in range(3):
        scorers.require_alive()
        with pytest.raises(RuntimeError):
            await scorers.of(SMALL).score(views(1, 8), call(), LoadSignals())
    with pytest.raises(UnavailableError, match="fails at every pass"):
        scorers.require_alive()
