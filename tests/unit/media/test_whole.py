"""Directories of tags that were made to stop us."""

from __future__ import annotations

import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain import TruncatedError
from serve_app.media.whole import require_whole

LONGEST_S = 5.0


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
    require_whole(tiff(STRIPS, LENGTHS, data=bytes(200)), "image/tiff")


@pytest.mark.parametrize(
    "body",
    [
        tiff(STRIPS, LENGTHS, data=bytes(60)),
        tiff(STRIPS, LENGTHS, next_at=5000, data=bytes(200)),
        tiff((305, 2, 100, 5000), data=bytes(200)),
        tiff(STRIPS)[:20],
        b"II*\x00\x08",
        b"RIFF\xff\x00\x00\x00WEBP" + bytes(40),
    ],
    ids=["a strip", "a page", "a tag", "a directory", "the header", "a WebP"],
)
def test_something_is_not_there(body: bytes) -> None:
    with pytest.raises(TruncatedError):
        require_whole(body, "image/webp" if body.startswith(b"RIFF") else "image/tiff")


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
    require_whole(body, "image/tiff")
    assert time.process_time() - began_s < LONGEST_S


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    head=st.sampled_from((b"II*\x00", b"MM\x00*", b"II+\x00\x08\x00\x00\x00", b"MM\x00+\x00\x08\x00\x00")),
    rest=st.binary(),
)
def test_any_bytes_are_whole_or_cut(head: bytes, rest: bytes) -> None:
    try:
        require_whole(head + rest, "image/tiff")
    except TruncatedError:
        return
