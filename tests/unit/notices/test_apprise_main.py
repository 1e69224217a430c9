"""What is told of Apprise's own log lines, in which there may be a topic, a room or a token."""

from __future__ import annotations

import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("apprise", reason="the extra notices is not installed")

from serve_app.notices.apprise_main import UNKNOWN, Said

SECRET = "hush-hush-hush"


def told(*lines: str) -> str:
    said = Said()
    for line in lines:
        said.handle(logging.LogRecord("apprise", logging.DEBUG, "a.py", 1, line, None, None))
    return said.problem()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            f"Failed to send to {SECRET}: Invalid Token., error=401.",
            "the server answered 401 Unauthorized",
        ),
        (f"Failed to send to {SECRET}: forbidden, error=40301.", "the server answered 403 Forbidden"),
        ("Failed to send: error=599.", "the server answered 599"),
        (f"Socket Exception: (535, b'5.7.8 {SECRET}')", "the mail server answered 535"),
        (f"Recipients refused: {{'{SECRET}': (550, b'no such user')}}", "the mail server answered 550"),
        (f"HTTPConnectionPool: with url: /{SECRET} (Caused by NewConnectionError([Errno 111]))", "connection refused"),
        (f"SSLError(CERTIFICATE_VERIFY_FAILED) {SECRET}", "the server's certificate is not trusted"),
        (f"Failed to resolve {SECRET}: [Errno -2] Name or service not known", "unknown host name"),
        (f"HTTPConnectionPool(host={SECRET}): Read timed out.", "no answer in time"),
        ("Connection unexpectedly closed", "the connection was closed"),
        (f"Something else about {SECRET}", UNKNOWN),
    ],
)
def test_the_reason_is_told_in_words_of_ours(line: str, expected: str) -> None:
    assert told("Loaded a URL", line) == expected


def test_what_explains_most_is_told() -> None:
    assert told("Connection unexpectedly closed", "error=500.") == "the server answered 500 Internal Server Error"


def test_the_lines_of_another_address_say_nothing_about_this_one() -> None:
    said = Said()
    record = logging.LogRecord("apprise", logging.DEBUG, "a.py", 1, "error=500.", None, None)
    record.thread = threading.get_ident() + 1
    said.handle(record)
    assert said.problem() == UNKNOWN


def test_the_lines_of_a_thread_that_has_ended_say_nothing_about_one_with_its_number() -> None:
    said = Said()
    said.handle(logging.LogRecord("apprise", logging.DEBUG, "a.py", 1, "error=500.", None, None))
    said.begin()
    assert said.problem() == UNKNOWN


@given(st.lists(st.tuples(st.text(), st.text()).map(SECRET.join)))
def test_whatever_apprise_logs_nothing_of_it_is_repeated(lines: list[str]) -> None:
    assert SECRET not in told(*lines)
