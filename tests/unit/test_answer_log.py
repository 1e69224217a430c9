"""Log lines on the way of an answer: never raised into it, and named after the place that logs."""

import logging

import pytest

from serve_app.answer_log import AnswerLogger

LOGGER = AnswerLogger("tests.answer_log")


class Broken(logging.Handler):
    asked = 0

    def emit(self, record):
        self.asked += 1
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("method", ["debug", "info", "warning", "error", "exception", "critical"])
def test_a_line_names_the_place_that_logs(caplog, method):
    caplog.set_level(logging.DEBUG, "tests.answer_log")
    getattr(LOGGER, method)("something of %s", "mine")
    (record,) = caplog.records
    assert (record.filename, record.funcName) == ("test_answer_log.py", "test_a_line_names_the_place_that_logs")
    assert record.getMessage() == "something of mine"


def test_a_handler_that_raises_costs_nobody_anything():
    broken = Broken()
    logger = logging.getLogger("tests.answer_log")
    logger.addHandler(broken)
    try:
        LOGGER.error("lost")
    finally:
        logger.removeHandler(broken)
    assert broken.asked == 1
