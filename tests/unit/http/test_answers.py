"""What goes over the wire: the maps are total, errors survive a process boundary, and secrets stay where they are."""

from __future__ import annotations

import base64
import inspect
import json
import logging
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from serve_app.domain import (
    Decision,
    Judged,
    Judgement,
    ModelIdentity,
    PictwardenError,
    RequestError,
    UnauthorisedError,
    UnscannableError,
    UnscannedError,
    UnscannedReason,
    Verdict,
    ViewPlace,
)
from serve_app.http.answers import answer_for_decision, answer_for_error
from serve_app.http.guard import Guard
from serve_app.wire import REQUEST_ERRORS, STATUS_BY_REASON

if TYPE_CHECKING:
    from tests.unit.conftest import Service


def family(error: type[PictwardenError]) -> Iterator[type[PictwardenError]]:
    """``error`` and all that derive from it in the application."""
    if error.__module__.startswith("serve_app."):
        yield error
    for child in error.__subclasses__():
        yield from family(child)


def concrete(error: type[PictwardenError]) -> list[type[PictwardenError]]:
    return [member for member in family(error) if not member.__subclasses__()]


ERRORS = list(family(PictwardenError))


def test_what_is_unknown_is_null_in_an_answer() -> None:
    judgement = Judgement(Verdict.ACCEPT, None, "undecided", view=0, scores={"nsfw": None, "red": 0.25}, margin=None)
    decision = Decision(
        request_id="r-1",
        decided_at=datetime(2026, 11, 26, tzinfo=UTC),
        sha256="a" * 64,
        body_bytes=1,
        outcome=Judged(judgement, ViewPlace(0, (0.0, 0.0, 1.0, 1.0)), "image/png", 1, 1, 1),
        kept=True,
        model=ModelIdentity("open-nsfw", "b" * 64, 224),
        policy="p",
        policy_digest="c" * 64,
        elapsed_ms=1.0,
    )
    status, answer = answer_for_decision(decision, 1.0)
    told = json.loads(answer.model_dump_json())
    assert (status, told["scores"], told["margin"]) == (200, {"nsfw": None, "red": 0.25}, None)


# The maps are total


def test_every_reason_has_a_status() -> None:
    assert STATUS_BY_REASON.keys() == set(UnscannedReason)


def test_every_request_error_has_a_status_and_a_word_of_its_own() -> None:
    assert REQUEST_ERRORS.keys() == set(concrete(RequestError))
    words = [word for _, word in REQUEST_ERRORS.values()]
    assert len(set(words)) == len(words)
    assert not set(words) & set(UnscannedReason)


def test_no_status_of_an_error_keeps_a_picture() -> None:
    statuses = {*STATUS_BY_REASON.values(), *(status for status, _ in REQUEST_ERRORS.values())}
    assert all(400 <= status < 600 for status in statuses)
    assert 406 not in statuses, "406 is a rejection by the policy, and nothing else"


def test_every_unscanned_error_has_a_reason_and_every_reason_an_error() -> None:
    reasons = {member.reason for member in concrete(UnscannedError) if issubclass(member, UnscannedError)}
    assert reasons == set(UnscannedReason)


def test_what_may_be_sent_again_is_said_to_be_unavailable_and_nothing_else_is() -> None:
    for member in concrete(UnscannedError):
        assert issubclass(member, UnscannedError)
        assert (STATUS_BY_REASON[member.reason] == 503) == (not issubclass(member, UnscannableError))


@pytest.mark.parametrize("error", [*concrete(RequestError), *concrete(UnscannedError)], ids=lambda e: e.__name__)
def test_every_error_has_an_answer(error: type[RequestError | UnscannedError]) -> None:
    status, answer = answer_for_error(error("what is wrong"), "r-1", 1.234)
    assert status in {400, 401, 413, 415, 422, 503}
    assert (answer.verdict, answer.message, answer.request_id) == (None, "what is wrong", "r-1")


# Errors between processes


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e.__name__)
def test_every_error_survives_pickling(error: type[PictwardenError]) -> None:
    arrived = pickle.loads(pickle.dumps(error("größer than the limit")))
    assert type(arrived) is error
    assert str(arrived) == "größer than the limit"
    assert arrived.args == ("größer than the limit",)


def test_the_tree_of_errors_is_drawn_in_full() -> None:
    module = inspect.getmodule(PictwardenError)
    assert module is not None
    assert module.__doc__ is not None
    assert [error.__name__ for error in ERRORS if error.__name__ not in module.__doc__] == []


# Secrets


def test_no_text_of_a_guard_shows_a_secret(service: Service) -> None:
    shown = f"{service.guard!r} {service.guard} {service.settings!r} {service.moderator!r}"
    assert service.secret not in shown
    assert service.other_secret not in shown


def test_a_refusal_shows_no_secret() -> None:
    guard = Guard(["the-secret-of-the-house"])
    with pytest.raises(UnauthorisedError) as caught:
        guard.require_scanner("the-secret-of-the-hous", "Bearer my-own-guess", "8.8.8.8")
    assert not {"secret-of-the-hous", "my-own-guess", "8.8.8.8"} & set(str(caught.value).split())
    assert "the-secret" not in str(caught.value)


async def test_secrets_are_in_no_answer_and_no_log(
    service: Service, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    secret, guess = service.secret, "a-guess-by-somebody"
    in_basic = base64.b64encode(f"user:{secret}".encode()).decode()
    said = ""
    with caplog.at_level(logging.DEBUG, "serve_app"):
        for content in (draw("white"), draw("red"), b"no picture", b""):
            for path in (f"/api/v1/scan/{secret}", f"/api/v1/scan/{guess}", "/api/v1/scan", f"/{secret}"):
                for authorization in (f"Bearer {secret}", f"Bearer {guess}", f"Basic {in_basic}", "Basic ü"):
                    headers = [(b"authorization", authorization.encode())]
                    response = await service.scan(content, path, headers=headers)
                    said += f"{response.headers} {response.text}"
        service.ledger.fault = RuntimeError("the ledger is gone")
        said += (await service.scan(draw("white"))).text
        said += (await service.request("GET", f"/api/v1/scan/{secret}")).text
        said += (await service.request("GET", "/openapi.json")).text
        said += (await service.request("GET", "/readyz")).text
    said += "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert caplog.records
    assert not [word for word in (secret, guess, in_basic) if word in said]


async def test_an_answer_is_json_that_every_reader_takes(service: Service, draw: Callable[..., bytes]) -> None:
    text = (await service.scan(draw("white"))).text

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads(text, parse_constant=refuse)["verdict"] == "accept"
