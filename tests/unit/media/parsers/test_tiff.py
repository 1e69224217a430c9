"""Directories of tags that were made to stop us."""

from __future__ import annotations

import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.media.parsers.tiff import is_whole_tiff

LONGEST_S = 15.0


def tiff(*tags: tuple[int, int, int, int], next_at: int = 0, pages: int = 1, data: bytes = b"") -> bytes:
    """``pages`` directories of the same ``(number, kind, count, value)``; the last one leads to ``next_at``."""
    directory_bytes = 2 + 12 * len(tags) + 4
    body = b"II*\x00" + (8).to_bytes(4, "little")
    for page in range(pages):
        follows = next_at if page == pages - 1 else 8 + directory_bytes * (page + 1)
        body += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        body += follows.to_bytes(4, "little")
    return body + data


STRIPS, LENGTHS = (273, 4, 1, 100), (279, 4, 1, 50)


def test_everything_that_is_pointed_at_is_there() -> None:
    assert is_whole_tiff(tiff(STRIPS, LENGTHS, data=bytes(200)))


@pytest.mark.parametrize(
    "body",
    [
        tiff(STRIPS, LENGTHS, data=bytes(60)),
        tiff(STRIPS, LENGTHS, next_at=5000, data=bytes(200)),
        tiff((305, 2, 100, 5000), data=bytes(200)),
        tiff(STRIPS)[:20],
        b"II*\x00\x08",
    ],
    ids=["a strip", "a page", "a tag", "a directory", "the header"],
)
def test_something_is_not_there(body: bytes) -> None:
    assert not is_whole_tiff(body)


@pytest.mark.parametrize(
    "body",
    [
        tiff(STRIPS, next_at=8, data=bytes(200)),
        tiff(*[(305, 1, 20_000_000, 100)] * 4000, data=bytes(20_100_000)),
        tiff(*[(305, 1, 1_000_000, 100)] * 10, pages=1500, data=bytes(1_100_000)),
        tiff((273, 4, 5_000_000, 100), (279, 4, 5_000_000, 100), data=bytes(20_100_000)),
        b"II*\x00\x08\x00\x00\x00\xff\xff" + bytes(800_000),
    ],
    ids=["pages that go round", "large tags", "many pages", "millions of strips", "65535 tags"],
)
def test_to_ask_costs_little_whatever_is_pointed_at(body: bytes) -> None:
    began_s = time.process_time()
    is_whole_tiff(body)
    assert time.process_time() - began_s < LONGEST_S


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    head=st.sampled_from((b"II*\x00", b"MM\x00*", b"II+\x00\x08\x00\x00\x00", b"MM\x00+\x00\x08\x00\x00")),
    rest=st.binary(),
)
def test_any_bytes_are_whole_or_cut(head: bytes, rest: bytes) -> None:
    assert is_whole_tiff(head + rest) in (True, False)
