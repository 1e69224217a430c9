"""A JPEG file of several pictures, and one whose metadata are damaged."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serve_app.domain import (
    Deadline,
    OnTruncated,
    TooLargeError,
    TruncatedError,
    UndecodableError,
    UnscannableError,
    Views,
)
from serve_app.media import MediaLimits, preprocess
from serve_app.media.parsers.jpeg import jpeg_pictures

NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
SIZE_PX = 16
RED, GREEN, BLUE = (250, 20, 20), (20, 250, 20), (20, 20, 250)


def look(body: bytes, on_truncated: OnTruncated = OnTruncated.REFUSE, limits: MediaLimits | None = None) -> Views:
    return preprocess(body, SIZE_PX, limits or MediaLimits(), NO_HURRY, on_truncated)


def colours_of(views: Views) -> list[tuple[int, ...]]:
    """The mean colour of each picture's first view, to the nearest fifty."""
    frames = [place.frame for place in views.places]
    firsts = [views.pixels[frames.index(frame)] for frame in dict.fromkeys(frames)]
    return [tuple(int(level) for level in (pixels.mean((0, 1)) / 50).round() * 50) for pixels in firsts]


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (32, 32), **options: object) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, colour).save(written, "JPEG", quality=95, **options)
    return written.getvalue()


def mpo(*pictures: Image.Image) -> bytes:
    written = io.BytesIO()
    pictures[0].save(written, "MPO", quality=95, save_all=True, append_images=list(pictures[1:]))
    return written.getvalue()


def with_segment(body: bytes, code: int, content: bytes) -> bytes:
    return body[:2] + bytes([0xFF, code]) + (2 + len(content)).to_bytes(2, "big") + content + body[2:]


TWO = mpo(Image.new("RGB", (32, 32), RED), Image.new("RGB", (32, 32), BLUE))
END = b"\xff\xd9"


@pytest.mark.parametrize("side_px", [32, 700])
def test_all_pictures_of_a_file_are_seen_also_at_a_size_that_is_decoded_at_a_reduced_scale(side_px: int) -> None:
    views = look(mpo(*(Image.new("RGB", (side_px, side_px), colour) for colour in (RED, BLUE, GREEN))))
    assert (views.frames_seen, views.frames_total) == (3, 3)
    assert colours_of(views) == [(250, 0, 0), (0, 0, 250), (0, 250, 0)]


def test_pictures_of_a_file_may_differ_in_size_and_depth() -> None:
    views = look(mpo(Image.new("RGB", (700, 500), RED), Image.new("L", (90, 60), 200)))
    assert colours_of(views) == [(250, 0, 0), (200, 200, 200)]


def test_the_second_picture_is_not_shown_in_the_colours_of_the_first() -> None:
    profile = b"ICC_PROFILE\x00\x01\x01" + bytes(40)
    at = TWO.index(b"\xff\xdb")  # behind the index, whose places count from there
    grown = bytearray(TWO[:at] + b"\xff\xe2" + (2 + len(profile)).to_bytes(2, "big") + profile + TWO[at:])
    entries = grown.index(b"MPF\x00") + 4 + 50
    place_at = grown.index(struct.pack("<I", TWO.rindex(b"\xff\xd8\xff") - TWO.index(b"MPF\x00") - 4), entries)
    place = struct.unpack_from("<I", grown, place_at)[0]
    struct.pack_into("<I", grown, place_at, place + len(profile) + 4)
    first, second = jpeg_pictures(bytes(grown), 2)
    assert (b"ICC_PROFILE" in first.body, b"ICC_PROFILE" in second.body) == (True, False)


def test_an_index_whose_pictures_are_not_in_the_file_is_not_missed() -> None:
    first = TWO[: TWO.index(END) + 2]
    views = look(first)
    assert (views.frames_total, colours_of(views), views.is_truncated) == (1, [(250, 0, 0)], False)


def test_an_index_that_points_at_no_picture_is_ignored() -> None:
    first = TWO[: TWO.index(END) + 2]
    assert look(first + bytes(2000)).frames_total == 1


def test_a_second_picture_that_is_cut_makes_the_file_a_cut_one() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    cut = mpo(Image.new("RGB", (32, 32), RED), noise)[:-40]
    with pytest.raises(TruncatedError):
        look(cut)
    views = look(cut, OnTruncated.SCAN)
    assert (views.is_truncated, views.frames_seen, colours_of(views)[0]) == (True, 2, (250, 0, 0))


def test_no_more_pictures_than_are_scanned() -> None:
    with pytest.raises(TooLargeError, match="3 pictures in one file are more than 2"):
        look(mpo(*[Image.new("RGB", (32, 32))] * 3), limits=MediaLimits(max_frames=2))


@pytest.mark.parametrize("side_px", [7000, 30_000])
def test_the_second_picture_may_not_be_larger_than_the_limit(side_px: int) -> None:
    body = bytearray(TWO)
    size_at = body.rfind(b"\xff\xc0") + 5  # behind the marker, the segment's length and the precision
    body[size_at : size_at + 4] = struct.pack(">HH", side_px, side_px)
    with pytest.raises(TooLargeError):
        look(bytes(body))


@pytest.mark.parametrize(
    ("code", "content"),
    [
        (0xE0, b"JFIF\x00\x01"),
        (0xE1, b"Exif\x00\x00" + bytes(range(40))),
        (0xE2, b"MPF\x00" + b"II*\x00" + bytes(20)),
        (0xE2, b"MPF\x00"),
        (0xE2, b"ICC_PROFILE\x00"),
        (0xED, b"Photoshop 3.0\x008BIM\x03\xed\x00\x00\x00\x00\x00\x02ab"),
        (0xEE, b"Adobe"),
        (0xFE, b""),
    ],
)
def test_a_damaged_description_does_not_refuse_a_picture(code: int, content: bytes) -> None:
    assert colours_of(look(with_segment(jpeg(RED), code, content))) == [(250, 0, 0)]


@pytest.mark.parametrize("damage", [b"\xff\x12", b"\xff\xc0"], ids=["no marker", "a header"])
def test_damage_that_looks_like_a_marker_is_not_taken_for_a_cut(damage: bytes) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    written = io.BytesIO()
    noise.save(written, "JPEG")
    body = written.getvalue()
    at = body.index(b"\xff\xda") + 60
    with pytest.raises(UndecodableError):
        look(body[:at] + damage + body[at + 2 :])


def test_a_jpeg_of_more_segments_than_any_is_too_large() -> None:
    body = jpeg(RED)
    with pytest.raises(TooLargeError):
        look(body[:2] + b"\xff\xfe\x00\x02" * 100_000 + body[2:])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_is_done_to_the_index_the_first_picture_is_seen(data: st.DataObject) -> None:
    at, end = TWO.index(b"MPF\x00") + 4, TWO.index(b"\xff\xdb")
    body = bytearray(TWO)
    for place in data.draw(st.lists(st.integers(at, end - 1), min_size=1, max_size=8)):
        body[place] = data.draw(st.integers(0, 255))
    try:
        views = look(bytes(body))
    except UnscannableError:
        return
    assert views.frames_total <= MediaLimits().max_frames
    assert np.abs(views.pixels[0].mean((0, 1)) - RED).max() < 20
