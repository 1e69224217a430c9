"""The service's log lines in a command: once a minute an event, in one line, and none below a warning."""

from __future__ import annotations

import io
import logging

from rich.console import Console

from serve_app.cli.storage.service_log import log_lines_on
from serve_app.logs import EventLogger

logger = EventLogger("serve_app.tests")


def test_an_event_is_shown_once_a_minute_in_one_line() -> None:
    shown, now_s = io.StringIO(), 0.0
    with log_lines_on(Console(file=shown), lambda: now_s):
        for lost in range(3):
            logger.error("lost", f"{lost} lost\n\x1b[31m [red]:smile:", lost=lost)
        logger.info("fine", "all is well")
        logger.warning("other", "another")
        now_s = 60.0
        logger.error("lost", "9 lost", lost=9)
    assert shown.getvalue().splitlines() == [
        r"error: 0 lost\n\x1b[31m [red]:smile:",
        "warning: another",
        "error: 9 lost",
    ]


def test_afterwards_lines_go_where_they_went_before() -> None:
    service = logging.getLogger("serve_app")
    before = service.propagate, list(service.handlers)
    with log_lines_on(Console(file=io.StringIO())):
        assert not service.propagate
    assert (service.propagate, list(service.handlers)) == before
