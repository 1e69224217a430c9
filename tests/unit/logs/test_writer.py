"""Log lines on a disk that is full, slow or broken: nothing raises, nothing waits, and what was lost is counted."""

from __future__ import annotations

import errno
import gc
import io
import logging
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.logs.writer import LogWriter


class Disk(io.StringIO):
    """A stream that can be full, and one that can stand still until ``is_moving`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False
        self.is_moving = threading.Event()
        self.is_moving.set()
        self.is_entered = threading.Event()

    def write(self, text: str, /) -> int:
        self.is_entered.set()
        self.is_moving.wait(30)
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.is_moving.set()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.Logger("of-a-test", logging.INFO)  # noqa: LOG001 - nobody else is to find it
    yield logger
    for handler in logger.handlers:
        handler.close()


def test_lines_are_written_in_order(disk: Disk, logger: logging.Logger) -> None:
    writer = LogWriter(logging.StreamHandler(disk))
    logger.addHandler(writer)
    for number in range(100):
        logger.info("line %d", number)
    writer.flush()
    assert disk.getvalue().splitlines() == [f"line {number}" for number in range(100)]


def test_a_full_disk_loses_lines_and_says_how_many_once(
    disk: Disk, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = LogWriter(logging.StreamHandler(disk))
    logger.addHandler(writer)
    disk.is_full = True
    for _ in range(3):
        logger.info("lost")
    writer.flush()
    disk.is_full = False
    logger.info("first")
    logger.info("second")
    writer.flush()
    assert disk.getvalue().splitlines() == ["first", "3 log lines were lost: they could not be written", "second"]
    assert capsys.readouterr().err == ""


def test_a_disk_that_stands_still_keeps_nobody_waiting(disk: Disk, logger: logging.Logger) -> None:
    writer = LogWriter(logging.StreamHandler(disk), most_waiting=2)
    logger.addHandler(writer)
    disk.is_moving.clear()
    logger.info("being written")
    assert disk.is_entered.wait(30)
    for number in range(5):
        logger.info("waits %d", number)  # returns, although the thread stands still
    disk.is_moving.set()
    writer.flush()
    lines = disk.getvalue().splitlines()
    assert sorted(lines) == sorted(
        ["being written", "3 log lines were lost: they could not be written", "waits 0", "waits 1"]
    )


def test_a_record_that_cannot_be_formatted_is_a_lost_line(disk: Disk, logger: logging.Logger) -> None:
    writer = LogWriter(logging.StreamHandler(disk))
    logger.addHandler(writer)
    logger.info("%d", "no number")
    logger.info("next")
    writer.flush()
    assert disk.getvalue().splitlines() == ["next", "1 log lines were lost: they could not be written"]


class Body(bytearray):
    """Bytes of a picture, which can be seen to be freed."""


def test_a_line_that_waits_keeps_no_body_alive(disk: Disk, logger: logging.Logger) -> None:
    writer = LogWriter(logging.StreamHandler(disk))
    logger.addHandler(writer)
    disk.is_moving.clear()
    logger.info("being written")
    assert disk.is_entered.wait(30)

    def examine(body: Body) -> None:
        raise LookupError(f"of {len(body)} bytes")

    def log() -> weakref.ref[Body]:
        body = Body(3)
        try:
            examine(body)
        except LookupError as error:
            logger.exception("failed")
            logger.warning("because of %s", error)
        return weakref.ref(body)

    body = log()
    gc.collect()
    assert body() is None
    disk.is_moving.set()
    writer.flush()
    _, failed, *traceback, because = disk.getvalue().splitlines()
    assert (failed, traceback[-1], because) == ("failed", "LookupError: of 3 bytes", "because of of 3 bytes")


def test_a_file_on_a_full_disk_is_opened_anew_and_holds_no_lost_line(logger: logging.Logger, tmp_path: Path) -> None:
    target = logging.FileHandler(tmp_path / "log")
    writer = LogWriter(target)
    logger.addHandler(writer)
    logger.info("before")
    writer.flush()
    assert target.stream is not None
    target.stream.close()
    target.stream = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115, PTH123  # each flush of it is ENOSPC
    logger.info("lost")
    logger.info("after")
    writer.flush()
    target.close()
    assert (tmp_path / "log").read_text("utf-8").splitlines() == [
        "before",
        "after",
        "1 log lines were lost: they could not be written",
    ]
