"""Requests without a right secret: they are answered, and do not fill the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from serve_app.http.strangers import Strangers
from serve_app.misskey_api import DETECT_PATH

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.conftest import Service

WRONG = "/api/v1/scan/a-wrong-secret-of-somebody"


async def test_strangers_cannot_push_the_decisions_out_of_the_log(
    make_service: Callable[..., Service], draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "serve_app")
    service = make_service(misskey={"classifier": "nsfwjs"})
    before = len(caplog.messages)
    for _ in range(20):
        service.answered(await service.scan(service.unreadable(), WRONG), 401)
        assert (await service.request("POST", DETECT_PATH)).status_code == 401
    assert len(caplog.messages) - before == 10
    service.answered(await service.scan(b""), 400)
    service.answered(await service.scan(draw("white")), 200)
    assert len(caplog.messages) - before == 12, "whoever has the secret has a line for each picture"


def test_a_later_line_tells_how_many_had_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "serve_app")
    now_s = 0.0
    strangers = Strangers(lambda: now_s)
    assert [strangers.has_line() for _ in range(15)] == [True] * 10 + [False] * 5
    now_s = 59.9
    assert not strangers.has_line()
    assert caplog.messages == []
    for _ in range(2):
        now_s += 60.0
        assert strangers.has_line()
    assert caplog.messages == ["6 more requests before it had no right secret"]
