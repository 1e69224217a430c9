"""Events: never raised into the caller, named after the place that logs, and about the request that is at work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from serve_app.logs import EventLogger, of_request
from serve_app.logs.events import Event

NAME = "tests.events"
LOGGER = EventLogger(NAME)


class Broken(logging.Handler):
    asked = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.asked += 1
        raise OSError(28, "No space left on device")


@pytest.fixture
def broken() -> Iterator[Broken]:
    handler = Broken()
    logging.getLogger(NAME).addHandler(handler)
    yield handler
    logging.getLogger(NAME).removeHandler(handler)


def event_of(record: logging.LogRecord) -> Event:
    assert isinstance(record.msg, Event)
    return record.msg


@pytest.mark.parametrize("method", ["info", "warning", "error", "exception"])
def test_a_line_names_the_place_that_logs(caplog: pytest.LogCaptureFixture, method: str) -> None:
    caplog.set_level(logging.DEBUG, NAME)
    getattr(LOGGER, method)("something_happened", "something of mine", of="mine")
    (record,) = caplog.records
    assert (record.filename, record.funcName) == ("test_events.py", "test_a_line_names_the_place_that_logs")
    assert record.levelname == ("ERROR" if method == "exception" else method.upper())
    assert record.getMessage() == "something of mine"
    assert event_of(record) == Event("something_happened", "something of mine", {"of": "mine"})


def test_a_handler_that_raises_costs_nobody_anything(broken: Broken) -> None:
    LOGGER.error("lost", "lost")
    assert broken.asked == 1


def test_the_text_of_a_line_that_nobody_wants_is_never_made() -> None:
    LOGGER.info("unwanted", lambda: pytest.fail("made"))


async def test_lines_name_the_request_of_their_task_and_of_the_tasks_that_it_starts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, NAME)

    async def log(text: str) -> None:
        LOGGER.info("said", text)

    async def serve(request_id: str) -> None:
        of_request(request_id)
        await log("itself")
        await asyncio.create_task(log("its task"))
        await asyncio.to_thread(LOGGER.info, "said", "its thread")

    await asyncio.gather(*(asyncio.create_task(serve(each)) for each in ("r-1", "r-2")))
    await log("nobody's")
    assert sorted(caplog.messages) == sorted(
        [f"request {each}: {text}" for each in ("r-1", "r-2") for text in ("itself", "its task", "its thread")]
        + ["nobody's"]
    )


async def test_a_line_about_another_request_names_that_one(caplog: pytest.LogCaptureFixture) -> None:
    async def serve() -> None:
        of_request("r-1")
        LOGGER.error("said", "about another one", request_id="r-0")

    await asyncio.create_task(serve())
    assert caplog.messages == ["request r-0: about another one"]
    assert event_of(caplog.records[0]).fields == {}
