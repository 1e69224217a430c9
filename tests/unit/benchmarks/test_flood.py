"""The flood of large pictures against a stand-in that accepts some, refuses some and hangs up on the rest."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import typer
from PIL import Image

from benchmarks import flood
from benchmarks.record import Record

from .conftest import accepting, http


def test_the_large_picture_is_one_and_of_the_size_that_was_asked_for() -> None:
    body = bytes(flood.large_picture(1_000_000))[:-16] + b"x" * 16
    assert len(body) == pytest.approx(1_000_000, rel=0.02)
    with Image.open(io.BytesIO(body)) as picture:
        picture.load()
        assert (picture.format, picture.mode) == ("BMP", "RGB")


def test_what_was_scanned_refused_and_late_is_told(stand_in, tmp_path: Path) -> None:
    accept, asked = accepting(), 0

    def respond(head: bytes, body: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return accept(head, body) if asked % 2 else http(503, b"{}")

    server = stand_in(respond)
    with pytest.raises(typer.Exit):
        flood.bench(url=server.url, senders=4, body_mb=0.1, out=tmp_path / "flood.json")
    record = Record.of_json((tmp_path / "flood.json").read_text("utf-8"))
    answers, memory = record.tables
    assert [row[:2] for row in answers.rows] == [("200", 2), ("503", 2)]
    assert len(memory.rows) == 1, "the stand-in is this process, which takes the bodies"
    in_time, grown, scanned, others = record.checks
    assert in_time.holds
    assert grown.seen is not None
    assert (scanned.holds, others.holds) == (True, True)
