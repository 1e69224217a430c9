"""The models of a worker: which a front may ask for, and how long they are kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve_app.composition import scoring
from serve_app.domain import Call, Deadline, ModelError, OtherVersionError
from serve_app.models.engine import Engine
from serve_app.models.factory import open_engines
from serve_app.settings import ModelSettings
from serve_app.worker import KeptScorers
from tests.unit.worker.front import views, wanted, work


class Opening:
    """Counts what is opened, each time once ``may_open``; the first ``failures`` times it cannot be."""

    def __init__(self) -> None:
        self.sources: list[str | None] = []
        self.may_open = threading.Event()
        self.may_open.set()
        self.has_begun = threading.Event()
        self.failures = 0

    def __call__(self, source: str | None, *args: Any, **options: Any) -> list[Engine]:
        self.sources.append(source)
        self.has_begun.set()
        assert self.may_open.wait(30)
        if self.failures:
            self.failures -= 1
            raise ModelError("the network is away")
        return open_engines("fake", *args, **options)


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch) -> Opening:
    opening = Opening()
    monkeypatch.setattr(scoring, "open_engines", opening)
    return opening


@pytest.fixture
async def kept() -> AsyncIterator[KeptScorers]:
    kept = KeptScorers(ModelSettings())
    yield kept
    await kept.close()


@pytest.mark.parametrize(
    "model", ["ViT-L-14/openai", "ViT-B-32-quickgelu/laion400m_e32", "embedded:demo-shapes", "random:ViT-B-32", "fake"]
)
async def test_a_front_may_ask_for_a_model_by_its_name(kept: KeptScorers, opening: Opening, model: str) -> None:
    await kept.open(wanted(model))
    assert opening.sources == [model]


@pytest.mark.parametrize(
    "model",
    [
        *("/etc", "./models", "../models", "~/models", "models", "models/clip", "a/b/c", "..", "../x", ""),
        *("local-dir:/etc/x", "hf-hub:org/model", "random:../x", "random:/x", "ViT-L-14/../x", "ViT-L-14/openai\n"),
    ],
)
async def test_and_for_nothing_that_leads_to_a_file(
    kept: KeptScorers, opening: Opening, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "clip").mkdir(parents=True)
    with pytest.raises(ModelError, match="--model"):
        await kept.open(wanted(model))
    assert opening.sources == []


async def test_the_owner_s_own_model_is_taken_instead(opening: Opening) -> None:
    kept = KeptScorers(ModelSettings(source="./my-copy"))
    await kept.open(wanted("/a/path/of/the/front"))
    await kept.close()
    assert opening.sources == ["./my-copy"]


async def test_a_policy_without_prompts_needs_no_model(kept: KeptScorers, opening: Opening) -> None:
    await kept.open(wanted(None))
    assert opening.sources == [None]


async def test_the_same_wish_loads_nothing_again(kept: KeptScorers, opening: Opening) -> None:
    first = await kept.open(wanted())
    second = await kept.open(wanted(version="0.3.0"))
    assert first.scorers is second.scorers
    assert len(opening.sources) == 1


@pytest.mark.parametrize("changed", [wanted("random:x"), wanted("fake", ("blue",)), wanted(deadline_s=4.0)])
async def test_another_wish_takes_the_place_of_the_first(kept: KeptScorers, opening: Opening, changed: Any) -> None:
    first = await kept.open(wanted())
    second = await kept.open(changed)
    assert first.scorers is not second.scorers
    assert len(opening.sources) == 2
    call = Call("1", Deadline.after(8.0))
    assert (await second.score(work(1, views(2)), call)).values.shape == (2, len(changed.label_sets[0]))


async def test_a_load_goes_on_while_the_connection_is_away(kept: KeptScorers, opening: Opening) -> None:
    opening.may_open.clear()
    first = asyncio.create_task(kept.open(wanted()))
    await asyncio.to_thread(opening.has_begun.wait, 30)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    opening.may_open.set()
    await kept.open(wanted())
    assert len(opening.sources) == 1


async def test_a_load_that_nobody_wants_any_more_ends_before_the_next_begins(
    kept: KeptScorers, opening: Opening
) -> None:
    opening.may_open.clear()
    first = asyncio.create_task(kept.open(wanted()))
    await asyncio.to_thread(opening.has_begun.wait, 30)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = asyncio.create_task(kept.open(wanted("random:x")))
    await asyncio.sleep(0)
    assert opening.sources == ["fake"]
    second.cancel()  # its connection is lost too
    await asyncio.gather(second, return_exceptions=True)
    third = asyncio.create_task(kept.open(wanted("random:x")))
    await asyncio.sleep(0)
    assert opening.sources == ["fake"]
    opening.may_open.set()
    await third
    assert opening.sources == ["fake", "random:x"]


async def test_a_load_that_failed_is_tried_again(kept: KeptScorers, opening: Opening) -> None:
    opening.failures = 1
    with pytest.raises(ModelError, match="the network is away"):
        await kept.open(wanted())
    await kept.open(wanted())
    assert len(opening.sources) == 2


async def test_the_offers_are_in_the_order_of_the_sets(kept: KeptScorers) -> None:
    opened = await kept.open(wanted("fake", ("red",), ("green", "blue")))
    assert len(opened.offers) == 2
    call = Call("1", Deadline.after(8.0))
    scores = [await opened.score(work(1, views(1), label_set=each), call) for each in (0, 1)]
    assert [each.values.shape for each in scores] == [(1, 1), (1, 2)]
    assert not np.array_equal(scores[0].values, scores[1].values[:, :1])
    for number in (-1, 2):
        with pytest.raises(OtherVersionError):
            await opened.score(work(1, views(1), label_set=number), call)
