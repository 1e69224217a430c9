"""Whatever goes wrong with a picture, every line about it is one JSON object that names its request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest
from ray.exceptions import ActorDiedError

from deployments.handles import ScorerHandle
from serve_app.domain import Call, Deadline, LoadSignals, UnavailableError, Views
from serve_app.wire import REFUSED_HEADER
from tests.stand_ins import InProcessPreprocessor
from tests.unit.logs.json_lines import Lines, json_log

if TYPE_CHECKING:
    from tests.unit.conftest import Service

Draw = Callable[..., bytes]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with json_log() as lines:
        yield lines


def of_one_request(lines: Lines, request_id: str) -> dict[str, dict[str, Any]]:
    """The lines by their event, all of which are about this request."""
    told = lines()
    assert {each.get("request_id") for each in told} == {request_id}, told
    by_event = {each["event"]: each for each in told}
    assert len(by_event) == len(told), told
    return by_event


async def test_a_picture_that_is_decided_on(service: Service, draw: Draw, lines: Lines) -> None:
    answer = service.answered(await service.scan(draw("red")), 406)
    (decision,) = of_one_request(lines, answer["request_id"]).values()
    assert decision["event"] == "decision"
    fields = ("verdict", "reason", "rule", "kept", "sha256", "body_bytes", "media_type", "views", "source", "lane")
    body = draw("red")
    assert [decision[each] for each in fields] == [
        *("reject", "policy", "no-red", False, answer["sha256"], len(body), "image/png", 1, "unnamed", "live")
    ]
    assert isinstance(decision["margin"], float)
    assert isinstance(decision["elapsed_ms"], float)
    assert decision["model"] == answer["model"]


async def test_a_request_that_is_refused_before_its_body_is_read(
    make_service: Callable[..., Service], lines: Lines
) -> None:
    service = make_service(has_front_end=True)
    headers = {REFUSED_HEADER: "20"}
    answer = service.answered(await service.scan(b"", "/api/v1/scan/a-wrong-secret-of-somebody", headers=headers), 401)
    told = of_one_request(lines, answer["request_id"])
    assert (told["refused"]["status"], told["refused"]["reason"]) == (401, "unauthorised")
    assert told["refused_by_front_end"]["requests"] == 20
    assert "a-wrong-secret" not in str(told)


async def test_a_ledger_that_fails(service: Service, draw: Draw, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    await service.scan(draw("white"))  # from now on the model is known, and the ledger is asked
    before = len(lines())
    service.ledger.fault = OSError(28, "No space left on device")
    monkeypatch.setattr(service.ledger, "recall", fail)
    answer = service.answered(await service.scan(draw("blue")), 200)
    told = of_one_request(lambda: lines()[before:], answer["request_id"])
    assert told.keys() == {"decision", "decision_not_recorded", "recall_failed"}
    assert told["decision_not_recorded"]["why"] == "no space left on device"
    assert told["recall_failed"]["why"] == "input/output error"


async def test_a_stage_with_a_fault_of_ours_and_a_library_that_says_something(
    service: Service, draw: Draw, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def preprocess(*_: object) -> Views:
        logging.getLogger("a.library").warning("of %s", "a library")
        raise LookupError("a fault of ours")

    monkeypatch.setattr(InProcessPreprocessor, "preprocess", preprocess)
    answer = service.answered(await service.scan(draw("white")), 503)
    told = of_one_request(lines, answer["request_id"])
    assert told.keys() == {"line", "scanning_failed", "decision"}
    assert told["line"]["message"] == "of a library"
    assert told["line"]["logger"] == "a.library"
    assert "a fault of ours" in told["scanning_failed"]["exception"]
    assert (told["decision"]["verdict"], told["decision"]["reason"]) == (None, "unavailable")


async def test_an_application_with_a_fault(
    service: Service, draw: Draw, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.moderator, "moderate", None)
    answer = service.answered(await service.scan(draw("white")), 500)
    assert "TypeError" in of_one_request(lines, answer["request_id"])["internal_fault"]["exception"]


async def test_a_scorer_that_dies_twice(lines: Lines) -> None:
    class Dying:
        def __getattr__(self, _: str) -> Any:
            return self

        def remote(self, *_: object) -> Any:
            raise ActorDiedError

    views = Views(None, (), "image/png", 1, 1)  # type: ignore[arg-type]
    scorer = ScorerHandle(cast("Any", Dying()), ("red",))
    with pytest.raises(UnavailableError):
        await scorer.score(views, Call("r-1", Deadline.after(60.0)), LoadSignals())
    told = lines()
    assert [(each["event"], each["request_id"], each["stage"], each["attempt"]) for each in told] == [
        ("replica_lost", "r-1", "scoring", 1),
        ("replica_lost", "r-1", "scoring", 2),
    ]
