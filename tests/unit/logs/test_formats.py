"""Lines as text and as JSON: the same events, and whatever is in a field, one line that can be parsed."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.logs import EventLogger
from serve_app.logs.formats import formatter_for
from serve_app.logs.log_format import LogFormat

NAME = "tests.formats"
LOGGER = EventLogger(NAME)

Written = Callable[[], str]

FIELDS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.just(ValueError("of no use")),
    lambda values: st.lists(values) | st.dictionaries(st.text() | st.integers(), values),
    max_leaves=5,
)


@pytest.fixture
def log() -> Iterator[Callable[[LogFormat], Written]]:
    logger = logging.getLogger(NAME)
    logger.propagate, logger.level = False, logging.INFO

    def start(wanted: LogFormat) -> Written:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter_for(wanted, logging.Formatter("%(levelname)s %(message)s"), "serve"))
        logger.handlers = [handler]
        return stream.getvalue

    yield start
    logger.handlers = []


@pytest.fixture
def told(log: Callable[[LogFormat], Written]) -> Callable[[], dict[str, Any]]:
    """Starts a log in JSON; gives its only line."""
    written = log(LogFormat.JSON)

    def line() -> dict[str, Any]:
        (only,) = written().splitlines()
        fields: dict[str, Any] = json.loads(only)
        return fields

    return line


def test_an_event_as_text_is_its_text_behind_its_request(log: Callable[[LogFormat], Written]) -> None:
    written = log(LogFormat.TEXT)
    LOGGER.warning("replica_lost", "scoring: a replica was lost", request_id="r-1", stage="scoring")
    assert written() == "WARNING request r-1: scoring: a replica was lost\n"


def test_an_event_as_json_is_its_name_and_its_fields(told: Callable[[], dict[str, Any]]) -> None:
    LOGGER.warning("replica_lost", "scoring: a replica was lost", request_id="r-1", stage="scoring", attempt=2)
    fields = told()
    assert datetime.fromisoformat(fields.pop("timestamp")).tzinfo is not None
    assert fields == {
        "level": "warning",
        "event": "replica_lost",
        "request_id": "r-1",
        "message": "scoring: a replica was lost",
        "stage": "scoring",
        "attempt": 2,
        "component": "serve",
        "pid": os.getpid(),
        "logger": NAME,
    }


def test_a_text_that_repeats_the_fields_is_left_out_of_json(told: Callable[[], dict[str, Any]]) -> None:
    LOGGER.info("decision", lambda: "accept kept=True", verdict="accept", kept=True)
    fields = told()
    assert "message" not in fields
    assert (fields["verdict"], fields["kept"]) == ("accept", True)


def test_a_traceback_is_a_field_of_its_line(told: Callable[[], dict[str, Any]]) -> None:
    try:
        raise LookupError("of this test")
    except LookupError:
        LOGGER.exception("failed", "it failed")
    assert told()["exception"].endswith("LookupError: of this test")


def test_a_line_of_a_library_has_the_same_form(told: Callable[[], dict[str, Any]]) -> None:
    logging.getLogger(NAME).error("cannot reach %s", "somebody")
    fields = told()
    assert (fields["event"], fields["message"], fields["level"]) == ("line", "cannot reach somebody", "error")


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: name not in ("request_id", "exc_info")), FIELDS))
def test_whatever_is_in_a_field_the_line_is_one_json_object(fields: dict[str, object]) -> None:
    formatter = formatter_for(LogFormat.JSON, logging.Formatter(), "serve")
    records: list[logging.LogRecord] = []
    logger = logging.getLogger(f"{NAME}.any")
    logger.propagate, logger.level = False, logging.INFO
    logger.handlers = [handler := logging.Handler()]
    handler.emit = records.append  # type: ignore[method-assign, assignment]
    EventLogger(logger.name).info("anything", "anything", **fields)
    (record,) = records
    line = formatter.format(record)
    assert "\n" not in line

    def refuse(constant: str) -> None:
        raise AssertionError(f"no JSON: {constant}")

    assert isinstance(json.loads(line, parse_constant=refuse), dict)
