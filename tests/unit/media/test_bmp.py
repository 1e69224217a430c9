"""A BMP of every layout that browsers show. What each of them shows was tried in Chromium 156."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from serve_app.domain import (
    Deadline,
    OnTruncated,
    TooLargeError,
    TruncatedError,
    UnscannableError,
    UnsupportedError,
    Views,
)
from serve_app.media import MediaLimits, preprocess
from serve_app.media.bmp_picture import open_bmp

NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
SIDE_PX = 16
BLACK, RED, GREEN, BLUE = (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)
COLOURS = (BLACK, RED, GREEN, BLUE)
PALETTE = b"".join(bytes([*colour[::-1], 0]) for colour in COLOURS)
SHORT_PALETTE = b"".join(bytes(colour[::-1]) for colour in COLOURS)
UNCOMPRESSED, RLE8, RLE4, BIT_FIELDS, JPEG_INSIDE, ALPHA_BIT_FIELDS = 0, 1, 2, 3, 4, 6

# Numbers of colours, upper row first.
QUARTERS = [[1] * 8 + [2] * 8] * 8 + [[3] * 8 + [0] * 8] * 8


def info(
    bits: int, compression: int = UNCOMPRESSED, height_px: int = SIDE_PX, header_bytes: int = 40, more: bytes = b""
) -> bytes:
    fields = (header_bytes, SIDE_PX, height_px, 1, bits, compression, 0, 0, 0, len(COLOURS) if bits == 8 else 0, 0)
    return (struct.pack("<IiiHHIIiiII", *fields) + more).ljust(header_bytes, b"\x00")[:header_bytes]


def bmp(header: bytes, between: bytes, pixels: bytes) -> bytes:
    at = 14 + len(header) + len(between)
    return b"BM" + struct.pack("<IHHI", at + len(pixels), 0, 0, at) + header + between + pixels


def rows(packed: Callable[[int], bytes]) -> bytes:
    """Rows from the lowest to the uppermost, each padded to words."""
    stored = b""
    for numbers in reversed(QUARTERS):
        row = b"".join(map(packed, numbers))
        stored += row + bytes(-len(row) % 4)
    return stored


def indices(bits: int) -> bytes:
    stored = b""
    for numbers in reversed(QUARTERS):
        row = int("".join(f"{number:0{bits}b}" for number in numbers), 2).to_bytes(SIDE_PX * bits // 8, "big")
        stored += row + bytes(-len(row) % 4)
    return stored


def in_bits(masks: tuple[int, ...], pixel_bytes: int, alpha: int = 255) -> bytes:
    def packed(number: int) -> bytes:
        value = 0
        for level, mask in zip((*COLOURS[number], alpha), masks, strict=False):
            step = mask & -mask
            value |= level * (mask // step) // 255 * step if mask else 0
        return value.to_bytes(pixel_bytes, "little")

    return rows(packed)


def bit_fields(masks: tuple[int, ...], bits: int, header_bytes: int = 40, compression: int = BIT_FIELDS) -> bytes:
    told = struct.pack(f"<{len(masks)}I", *masks)
    header = info(bits, compression, header_bytes=header_bytes, more=told if header_bytes > 40 else b"")
    return bmp(header, told if header_bytes == 40 else b"", in_bits(masks, bits // 8))


def bgr(number: int) -> bytes:
    return bytes(COLOURS[number][::-1])


def runs(half: Callable[[int], int] = lambda number: number) -> bytes:
    return b"".join(bytes([8, half(row[0]), 8, half(row[8]), 0, 0]) for row in reversed(QUARTERS))


END_OF_RUNS = b"\x00\x01"
EIGHT_EIGHT_EIGHT = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)

LAYOUTS = {
    "24 bits": bmp(info(24), b"", rows(bgr)),
    "24 bits, top down": bmp(info(24, height_px=-SIDE_PX), b"", b"".join(bgr(n) for row in QUARTERS for n in row)),
    "24 bits, OS/2": bmp(struct.pack("<IHHHH", 12, SIDE_PX, SIDE_PX, 1, 24), b"", rows(bgr)),
    "24 bits, OS/2's longer header": bmp(info(24, header_bytes=64), b"", rows(bgr)),
    "24 bits, a header that ends early": bmp(info(24, header_bytes=16), b"", rows(bgr)),
    "24 bits, a header that ends later": bmp(info(24, header_bytes=20), b"", rows(bgr)),
    "2 bits": bmp(info(2), PALETTE, indices(2)),
    "4 bits": bmp(info(4), PALETTE + bytes(48), indices(4)),
    "8 bits": bmp(info(8), PALETTE, indices(8)),
    "8 bits, OS/2": bmp(struct.pack("<IHHHH", 12, SIDE_PX, SIDE_PX, 1, 8), SHORT_PALETTE, indices(8)),
    "8 bits, a gap behind the palette": bmp(info(8), PALETTE + bytes(20), indices(8)),
    "15 bits": bmp(info(16), b"", in_bits((0x7C00, 0x3E0, 0x1F), 2)),
    "16 bits": bit_fields((0xF800, 0x7E0, 0x1F), 16),
    "12 bits": bit_fields((0xF00, 0xF0, 0xF), 16),
    "8 bits in 16": bit_fields((0xE0, 0x1C, 0x3), 16),
    "30 bits in 32": bit_fields((0x3FF00000, 0xFFC00, 0x3FF), 32),
    "32 bits, red first": bit_fields((0xFF, 0xFF00, 0xFF0000), 32),
    "32 bits": bmp(info(32), b"", rows(lambda number: bgr(number) + b"\x00")),
    "32 bits, something in the fourth byte": bmp(info(32), b"", rows(lambda number: bgr(number) + b"\x80")),
    "32 bits, opaque": bit_fields(EIGHT_EIGHT_EIGHT, 32, header_bytes=56),
    "32 bits, opaque, the longest header": bit_fields(EIGHT_EIGHT_EIGHT, 32, header_bytes=124),
    "32 bits, an alpha mask behind the header": bit_fields(EIGHT_EIGHT_EIGHT, 32, compression=ALPHA_BIT_FIELDS),
    "32 bits, alpha that nobody filled": bmp(
        info(32, BIT_FIELDS, header_bytes=108, more=struct.pack("<4I", *EIGHT_EIGHT_EIGHT)),
        b"",
        in_bits(EIGHT_EIGHT_EIGHT, 4, alpha=0),
    ),
    "runs of 8 bits": bmp(info(8, RLE8), PALETTE, runs() + END_OF_RUNS),
    "runs of 8 bits without an end": bmp(info(8, RLE8), PALETTE, runs()),
    "runs of 4 bits": bmp(info(4, RLE4), PALETTE + bytes(48), runs(lambda number: number * 17) + END_OF_RUNS),
    "runs over the edge": bmp(info(8, RLE8), PALETTE, runs().replace(b"\x08\x02", b"\x40\x02") + END_OF_RUNS),
    "unpacked runs": bmp(
        info(8, RLE8),
        PALETTE,
        b"".join(bytes([0, 16, *row, 0, 0]) for row in reversed(QUARTERS)) + END_OF_RUNS,
    ),
    "unpacked runs of 4 bits": bmp(
        info(4, RLE4),
        PALETTE + bytes(48),
        b"".join(
            bytes([0, 16, *(row[at] << 4 | row[at + 1] for at in range(0, 16, 2)), 0, 0]) for row in reversed(QUARTERS)
        )
        + END_OF_RUNS,
    ),
}


def look(body: bytes, on_truncated: OnTruncated = OnTruncated.REFUSE, limits: MediaLimits | None = None) -> Views:
    return preprocess(body, SIDE_PX, limits or MediaLimits(), NO_HURRY, on_truncated)


def corners(pixels: NDArray[np.uint8]) -> list[list[int]]:
    levels: list[list[int]] = pixels[[2, 2, -2, -2], [2, -2, 2, -2]].tolist()
    return levels


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_read(name: str) -> None:
    (pixels,) = look(LAYOUTS[name]).pixels
    assert corners(pixels) == [list(colour) for colour in (RED, GREEN, BLUE, BLACK)]


def test_one_bit() -> None:
    white_and_red = bytes([255, 255, 255, 0, *RED[::-1], 0])
    (pixels,) = look(bmp(info(1), white_and_red, b"\x00\xff\x00\x00" * SIDE_PX)).pixels
    assert (pixels[5, 4].tolist(), pixels[5, 12].tolist()) == ([255] * 3, list(RED))


def test_transparency_is_shown_over_two_backgrounds() -> None:
    header = info(32, BIT_FIELDS, header_bytes=108, more=struct.pack("<4I", *EIGHT_EIGHT_EIGHT))
    over_white, over_black = look(bmp(header, b"", in_bits(EIGHT_EIGHT_EIGHT, 4, alpha=128))).pixels
    np.testing.assert_allclose(over_white[2, 2].astype(int), [255, 127, 127], atol=2)
    np.testing.assert_allclose(over_black[2, 2].astype(int), [128, 0, 0], atol=2)


def test_what_no_run_paints_is_transparent() -> None:
    body = bmp(info(8, RLE8), PALETTE, b"\x00\x02\x08\x08" + bytes([8, 1, 0, 0]) + END_OF_RUNS)
    over_white, over_black = look(body).pixels
    assert (over_white[2, 2].tolist(), over_black[2, 2].tolist()) == ([255] * 3, [0] * 3)
    assert over_white[7, 4].tolist() == [255] * 3
    assert over_white[7, 12].tolist() == list(RED)


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_part_of_a_file_is_taken_for_all_of_it(name: str) -> None:
    body = LAYOUTS[name]
    whole = look(body).pixels
    for end in range(18, len(body)):
        try:
            pixels = look(body[:end]).pixels
        except TruncatedError:
            continue
        # Of runs, the last end of a row and the end of the picture paint nothing.
        assert "runs" in name
        assert len(body) - end <= 4
        np.testing.assert_array_equal(pixels, whole)


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_there_is_of_a_cut_file_is_scanned(name: str) -> None:
    body = LAYOUTS[name]
    views = look(body[: len(body) * 4 // 5], OnTruncated.SCAN)
    row = 2 if "top down" in name else -2
    assert views.is_truncated
    assert views.pixels[0][row].tolist() == look(body).pixels[0][row].tolist()


@pytest.mark.parametrize(("bits", "compression"), [(24, JPEG_INSIDE), (24, 5), (24, RLE8), (3, UNCOMPRESSED), (64, 0)])
def test_what_browsers_do_not_show_is_unsupported(bits: int, compression: int) -> None:
    with pytest.raises(UnsupportedError, match=f"{bits} bits and compression {compression}"):
        look(bmp(info(bits, compression), b"", bytes(5000)))


def test_the_limit_on_pixels_is_asked_before_they_are_allocated() -> None:
    with pytest.raises(TooLargeError):
        look(LAYOUTS["runs of 8 bits"], limits=MediaLimits(max_pixels=255))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    mode=st.sampled_from(("1", "L", "P", "RGB", "RGBA")),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 1000),
)
def test_it_is_read_as_pillow_reads_it(mode: str, size: tuple[int, int], seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), np.uint8)
    noise[..., 3] = 255
    written = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(written, "BMP")
    expected = np.asarray(Image.open(written).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(open_bmp(written.getvalue(), 10_000).convert("RGB")), expected)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(data=st.data(), name=st.sampled_from(sorted(LAYOUTS)))
def test_whatever_is_done_to_it_there_are_views_or_one_of_our_errors(data: st.DataObject, name: str) -> None:
    body = bytearray(LAYOUTS[name])
    for place in data.draw(st.lists(st.integers(10, len(body) - 1) | st.integers(10, 60), min_size=1, max_size=8)):
        body[place] = data.draw(st.integers(0, 255))
    del body[data.draw(st.integers(14, len(body))) :]
    try:
        views = look(bytes(body), data.draw(st.sampled_from(OnTruncated)), MediaLimits(max_pixels=20_000))
    except UnscannableError:
        return
    assert len(views.pixels) == len(views.places) >= 1
