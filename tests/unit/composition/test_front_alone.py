"""A front and who is there: it says when nobody is, and has the work that waited begun at once when somebody comes."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from serve_app.composition.fallback import stand_in_of
from serve_app.composition.front import Front
from serve_app.domain import OnUnscanned, SettingsError
from serve_app.domain.workers import StandingIn
from serve_app.http.guard import Guard
from serve_app.ledger import MemoryLedger
from serve_app.models.fake import FakeEngine
from serve_app.policy import Policy, load_policy
from serve_app.remote.absence import AWAY_AFTER_S, BACK_AFTER_S, what_happens
from serve_app.remote.messages import PROTOCOL, FromFront, Hello, Offer, Refusal, Refused
from serve_app.remote.popped import THERE_FOR_S
from serve_app.remote.requirements import require_without_fallback
from serve_app.settings import RemoteSettings, parse_settings


class Line:
    """Of the connection to a worker: what it was told last."""

    unsent_bytes = 0
    refused: Refused | None = None

    def send(self, message: FromFront) -> None:
        """Nobody reads it."""

    def close(self, refused: Refused | None = None) -> None:
        self.refused = refused


MakeFront = Callable[..., Front]


class Clock:
    """Of a front that looks once a second who is there."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._looking = (front.absence, front.neglect, front.absence_of_popping)
        self._now_s = float(math.ceil(time.monotonic()))  # whole seconds add up exactly
        for each in (*self._looking, front._popped):
            each._clock = self._now

    def _now(self) -> float:
        return self._now_s

    def goes_on(self, seconds: float, happens: Callable[[], object] = lambda: None) -> None:
        """``happens`` once in each second."""
        for _ in range(math.ceil(seconds) + 1):
            self._now_s += 1
            happens()
            for each in self._looking:
                each.look()


@pytest.fixture
def make_front(make_policy: Callable[..., Policy]) -> MakeFront:
    def make(came_back: asyncio.Event | None = None, **args: Any) -> Front:
        remote: Mapping[str, Any] = args.pop("remote", {})
        settings = parse_settings({"model": {"source": "fake"}, "remote": remote} | args)
        policy = make_policy()
        guard = Guard(["a-secret-of-the-tests"])
        return Front(settings, guard, [policy.labels], [policy], came_back or asyncio.Event(), MemoryLedger())

    return make


def hello(policy_labels: tuple[str, ...]) -> Hello:
    return Hello(PROTOCOL, "1", "desk", "a device", (Offer(FakeEngine(policy_labels).identity, {1: 0.01}),))


async def test_what_waited_begins_when_the_first_worker_comes(make_front: MakeFront) -> None:
    came_back = asyncio.Event()
    front = make_front(came_back)
    front.absence.look()
    assert not came_back.is_set()
    member = front.fleet.join(hello(()), Line(), "alice")
    member.is_on_trial = True
    front.absence.look()
    assert not came_back.is_set(), "a worker on trial scores no pictures yet"
    member.is_on_trial = False
    front.absence.look()
    assert came_back.is_set()
    front.fleet.dismiss(member, Refused(Refusal.STOPPING, "the end"))


@pytest.mark.parametrize(
    ("args", "what"),
    [
        ({}, "all pictures are refused"),
        ({"on_unscanned": "accept"}, "pictures are stored unscanned, and scanned once a worker is back"),
        ({"remote": {"fallback": "cpu"}}, "this machine scores what it can in time"),
        ({"remote": {"fallback": "classifier"}}, "a classifier looks at uploads"),
    ],
)
async def test_that_nobody_is_there_is_said_and_what_becomes_of_pictures(
    make_front: MakeFront, caplog: pytest.LogCaptureFixture, args: dict[str, Any], what: str
) -> None:
    caplog.set_level(logging.INFO)
    front = make_front(**args)
    clock = Clock(front)
    clock.goes_on(AWAY_AFTER_S)
    member = front.fleet.join(hello(()), Line(), "alice")
    member.is_on_trial = False
    clock.goes_on(BACK_AFTER_S)
    away, back = caplog.records
    assert away.message.startswith("no worker is there: ")
    assert what in away.message
    assert back.message == "a worker is there again, and scores from now on"
    front.fleet.dismiss(member, Refused(Refusal.STOPPING, "the end"))


@pytest.mark.parametrize(
    ("fallback", "without_them"),
    [
        ("none", "pictures are stored unscanned, and scanned once a worker is back"),
        ("classifier", "a classifier looks at uploads, and what it lets through is scanned once a worker is back"),
    ],
)
async def test_that_workers_of_fedi_safety_stand_in_is_said_and_that_they_have_left(
    make_front: MakeFront, caplog: pytest.LogCaptureFixture, fallback: str, without_them: str
) -> None:
    caplog.set_level(logging.INFO)
    came_back = asyncio.Event()
    front = make_front(came_back, remote={"fedi_safety": True, "fallback": fallback}, on_unscanned="accept")
    clock = Clock(front)
    asking = functools.partial(front._popped.pop, "a worker")
    clock.goes_on(AWAY_AFTER_S, asking)
    assert (await front.record.health()).standing_in is StandingIn.FEDI_SAFETY
    assert (await front.record.health()).unscanned_since is None
    clock.goes_on(THERE_FOR_S + AWAY_AFTER_S)
    assert ((await front.record.health()).unscanned_since is None) == (fallback != "none")
    clock.goes_on(BACK_AFTER_S, asking)
    assert [each.message.partition(": ")[2] for each in caplog.records] == [
        "workers of fedi-safety scan uploads",
        without_them,
        "workers of fedi-safety scan uploads",
    ]
    assert not came_back.is_set(), "stored pictures wait for workers"


def test_a_classifier_that_the_workers_score_for_already_is_no_fallback() -> None:
    labels = load_policy("shipped:nsfw").labels
    with pytest.raises(SettingsError, match="choose cpu"):
        stand_in_of("classifier", [labels])
    assert stand_in_of("cpu", [labels]) is None
    assert stand_in_of("none", [labels]) is None


@pytest.mark.parametrize("on_unscanned", OnUnscanned)
def test_every_fallback_says_what_happens(on_unscanned: OnUnscanned) -> None:
    assert len({what_happens(kind, on_unscanned) for kind in ("none", "cpu", "classifier")}) == 3


@pytest.mark.parametrize(
    "remote", [{"fallback": "cpu"}, {"fallback": "classifier"}, {"fedi_safety": True}, {"sends": "bodies"}]
)
def test_on_ray_serve_there_is_no_fallback_and_it_is_refused(remote: dict[str, Any]) -> None:
    require_without_fallback(RemoteSettings())
    with pytest.raises(SettingsError, match="are for `pictwarden serve`"):
        require_without_fallback(RemoteSettings(**remote))
