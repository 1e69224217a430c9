"""A GIF is seen as browsers show it. What each of them shows was tried in Chromium 156."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from serve_app.domain import Deadline, OnTruncated, TruncatedError, UnscannableError, Views
from serve_app.media import MediaLimits, preprocess

NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
PALETTE = bytes([*RED, *GREEN, *BLUE, *YELLOW])
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
CODE_BITS = 2
CLEAR, END = 4, 5


def codes_of(pixels: list[int], ends: bool = True) -> bytes:
    """LZW of colours 0 to 3 in sub-blocks, the table cleared so often that a code stays at three bits."""
    codes: list[int] = []
    for number, pixel in enumerate(pixels):
        codes += [CLEAR, pixel] if number % 2 == 0 else [pixel]
    bits = sum(code << 3 * at for at, code in enumerate(codes + [END] * ends))
    packed = bits.to_bytes(3 * len(codes) // 8 + 1, "little")
    blocks = [packed[at : at + 255] for at in range(0, len(packed), 255)]
    return bytes([CODE_BITS]) + b"".join(bytes([len(block)]) + block for block in blocks) + b"\x00"


def image(
    box: tuple[int, int, int, int], colour: int = 1, codes: bytes | None = None, palette: bytes = b"", flags: int = 0
) -> bytes:
    """A frame of left, top, width, height in one colour, or with other ``codes``."""
    flags |= 0x81 if palette else 0
    own = codes_of([colour] * (box[2] * box[3])) if codes is None else codes
    return b"\x2c" + struct.pack("<HHHHB", *box, flags) + palette + own


def control(disposal: int = 0, transparent: int | None = None) -> bytes:
    return b"\x21\xf9\x04" + struct.pack("<BHBB", disposal << 2 | (transparent is not None), 10, transparent or 0, 0)


def gif(
    *blocks: bytes,
    screen: tuple[int, int] = (8, 8),
    palette: bytes = PALETTE,
    background: int = 0,
) -> bytes:
    flags = 0x80 | (len(palette) // 3).bit_length() - 2 if palette else 0
    return b"GIF89a" + struct.pack("<HHBBB", *screen, flags, background, 0) + palette + b"".join(blocks) + b";"


def look(body: bytes, on_truncated: OnTruncated = OnTruncated.REFUSE) -> Views:
    return preprocess(body, 8, MediaLimits(), NO_HURRY, on_truncated)


def shown(body: bytes) -> list[NDArray[np.uint8]]:
    return list(look(body).pixels)


def pixel(pixels: NDArray[np.uint8], across: int, down: int) -> tuple[int, ...]:
    return tuple(int(level) for level in pixels[down, across])


def test_the_canvas_is_transparent_whatever_background_the_file_names() -> None:
    over_white, over_black = shown(gif(image((0, 0, 8, 4)), background=2))
    assert [pixel(view, 4, 1) for view in (over_white, over_black)] == [GREEN, GREEN]
    assert [pixel(view, 4, 7) for view in (over_white, over_black)] == [WHITE, BLACK]


@pytest.mark.parametrize("screen", [(4, 4), (0, 0), (0, 8)])
def test_the_canvas_is_as_large_as_its_first_frame_needs(screen: tuple[int, int]) -> None:
    (view,) = shown(gif(image((0, 0, 8, 8)), screen=screen))
    assert {pixel(view, 0, 0), pixel(view, 7, 7)} == {GREEN}


def test_a_first_frame_over_the_edge_is_shown_to_its_end() -> None:
    over_white, _ = shown(gif(image((4, 4, 8, 8)), screen=(8, 8)))
    assert (pixel(over_white, 1, 1), pixel(over_white, 7, 7)) == (WHITE, GREEN)


def test_a_later_frame_is_cut_at_the_edge() -> None:
    first, second = shown(gif(image((0, 0, 8, 8)), control(), image((4, 4, 8, 8), 2)))
    assert pixel(first, 6, 6) == GREEN
    assert (pixel(second, 1, 1), pixel(second, 6, 6)) == (GREEN, BLUE)


@pytest.mark.parametrize(("disposal", "left_behind"), [(0, GREEN), (1, GREEN), (2, None), (3, RED), (4, RED)])
def test_what_a_frame_leaves_behind(disposal: int, left_behind: tuple[int, int, int] | None) -> None:
    body = gif(
        image((0, 0, 8, 8), 0),
        control(disposal),
        image((0, 0, 8, 4), 1),
        control(),
        image((0, 6, 8, 2), 2),
    )
    views = look(body)
    last = [view for view, place in zip(views.pixels, views.places, strict=True) if place.frame == 2]
    assert [pixel(view, 4, 1) for view in last] == ([WHITE, BLACK] if left_behind is None else [left_behind])
    assert pixel(last[0], 4, 7) == BLUE


def test_a_transparent_colour_shows_the_frame_before() -> None:
    halves = codes_of([1] * 4 * 8 + [2] * 4 * 8)
    _, second = shown(gif(image((0, 0, 8, 8), 0), control(transparent=1), image((0, 0, 8, 8), codes=halves)))
    assert (pixel(second, 4, 1), pixel(second, 4, 7)) == (RED, BLUE)


@pytest.mark.parametrize(
    ("codes", "painted_rows"),
    [
        (codes_of([1] * 40), 5),
        (codes_of([1] * 40, ends=False), 5),
        (codes_of([1] * 40)[:-1] + b"\x02\xff\xff\x00", 5),
        (bytes([CODE_BITS, 0]), 0),
        (b"\x0c\x02\x4c\x01\x00", 0),
    ],
    ids=["short", "short, no end", "garbage behind", "none", "codes of 12 bits"],
)
def test_pixels_that_are_missing_show_what_was_there_before(codes: bytes, painted_rows: int) -> None:
    _, second = shown(gif(image((0, 0, 8, 8), 0), control(), image((0, 0, 8, 8), codes=codes)))
    rows = [pixel(second, 4, row) for row in range(8)]
    assert rows == [GREEN] * painted_rows + [RED] * (8 - painted_rows)


def test_pixels_that_are_missing_in_the_first_frame_are_transparent() -> None:
    over_white, over_black = shown(gif(image((0, 0, 8, 8), codes=codes_of([0] * 40))))
    assert (pixel(over_white, 4, 6), pixel(over_black, 4, 6), pixel(over_white, 4, 1)) == (WHITE, BLACK, RED)


@pytest.mark.parametrize(
    "codes", [codes_of([1] * 64, ends=False), codes_of([1] * 90)], ids=["no end code", "more than it needs"]
)
def test_data_without_an_end_or_with_more_than_the_frame_takes(codes: bytes) -> None:
    (view,) = shown(gif(image((0, 0, 8, 8), codes=codes)))
    assert {pixel(view, 0, 0), pixel(view, 7, 7)} == {GREEN}


@pytest.mark.parametrize(
    "odd",
    [
        b"\x00\x00",
        b"\x21\x77\x03abc\x00",
        b"\x21\x01\x0c" + bytes(12) + b"\x00",
        image((0, 0, 0, 0), codes=b"\x02\x00"),
    ],
    ids=["garbage", "an unknown extension", "plain text", "a frame without pixels"],
)
def test_frames_behind_something_odd_are_seen(odd: bytes) -> None:
    views = look(gif(image((0, 0, 8, 8), 0), odd, control(), image((0, 0, 8, 8), 2)))
    assert pixel(views.pixels[-1], 4, 4) == BLUE


def test_without_a_palette_colours_are_greys() -> None:
    (view,) = shown(gif(image((0, 0, 8, 8), 3), palette=b""))
    assert pixel(view, 4, 4) == (3, 3, 3)


def test_a_number_behind_the_palette_is_black() -> None:
    (view,) = shown(gif(image((0, 0, 8, 8), 3), palette=PALETTE[:6]))
    assert pixel(view, 4, 4) == BLACK


def test_a_frame_has_its_own_palette() -> None:
    (view,) = shown(gif(image((0, 0, 8, 8), 0, palette=bytes([*YELLOW, *BLUE, *BLUE, *BLUE]))))
    assert pixel(view, 4, 4) == YELLOW


def test_a_cut_gif_shows_the_rows_that_there_are() -> None:
    cut = gif(image((0, 0, 8, 8)))[:-12]
    with pytest.raises(TruncatedError):
        look(cut)
    views = look(cut, OnTruncated.SCAN)
    assert (views.is_truncated, pixel(views.pixels[0], 4, 0), pixel(views.pixels[0], 4, 7)) == (True, GREEN, WHITE)


SEED = gif(
    image((0, 0, 8, 8), 0, flags=0x40),
    control(3, 1),
    image((2, 2, 4, 4), 1, palette=PALETTE),
    b"\x21\xff\x0bXMP DataXMP\x05hello\x00",
    control(2),
    image((4, 4, 8, 8), 2),
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_is_done_to_it_there_are_views_or_one_of_our_errors(data: st.DataObject) -> None:
    body = bytearray(SEED)
    for place in data.draw(st.lists(st.integers(6, len(body) - 1), min_size=1, max_size=8)):
        body[place] = data.draw(st.integers(0, 255) | st.sampled_from((0, 0x21, 0x2C, 0x3B, 0xFF)))
    del body[data.draw(st.integers(6, len(body))) :]
    limits = MediaLimits(max_pixels=20_000, max_frames_total=5, max_frames=3)
    try:
        views = preprocess(bytes(body), 8, limits, NO_HURRY, data.draw(st.sampled_from(OnTruncated)))
    except UnscannableError:
        return
    assert len(views.pixels) == len(views.places) >= 1
