"""A PNG is read although chunks that only describe it are damaged, and an animation although its chunks disagree."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from serve_app.domain import Deadline, OnTruncated, TruncatedError, UndecodableError, UnscannableError, Views
from serve_app.media import MediaLimits, preprocess
from serve_app.media.parsers.png import SIGNATURE, repaired_png

NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
SIDE_PX = 16
RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)
LONGEST_S = 15.0
"""Of a body that is made to stop us, on a slow and busy core."""

TRUECOLOUR, PALETTE, TRUECOLOUR_WITH_ALPHA = 2, 3, 6


def chunk(name: bytes, content: bytes, is_sound: bool = True) -> bytes:
    checksum = zlib.crc32(name + content) ^ (not is_sound)
    return len(content).to_bytes(4, "big") + name + content + checksum.to_bytes(4, "big")


def header(colour_type: int = TRUECOLOUR) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE_PX, SIDE_PX, 8, colour_type, 0, 0, 0))


def packed(colour: tuple[int, ...]) -> bytes:
    return zlib.compress((b"\x00" + bytes(colour) * SIDE_PX) * SIDE_PX)


END = chunk(b"IEND", b"")
PIXELS = chunk(b"IDAT", packed(RED))


def png(*ahead: bytes, behind: bytes = b"") -> bytes:
    """A red picture, with chunks ahead of its pixels and behind them."""
    return SIGNATURE + header() + b"".join(ahead) + PIXELS + behind + END


def look(body: bytes, on_truncated: OnTruncated = OnTruncated.REFUSE) -> Views:
    return preprocess(body, SIDE_PX, MediaLimits(), NO_HURRY, on_truncated)


def colours_of(views: Views) -> list[tuple[int, ...]]:
    return [tuple(int(level) for level in pixels[8, 8]) for pixels in views.pixels]


DAMAGED = {
    "text with a wrong checksum": chunk(b"tEXt", b"Comment\x00hello", is_sound=False),
    "gamma with a wrong checksum": chunk(b"gAMA", (1).to_bytes(4, "big"), is_sound=False),
    "a short gamma": chunk(b"gAMA", b"\x00"),
    "a name that is none": chunk(b"t\x00x!", b"hello"),
    "an unknown chunk": chunk(b"abCd", b"hello"),
    "short pixels per metre": chunk(b"pHYs", bytes(4)),
    "a profile that cannot be unpacked": chunk(b"iCCP", b"name\x00\x00no deflate"),
    "a profile without a name": chunk(b"iCCP", b""),
    "a profile packed in another way": chunk(b"iCCP", b"name\x00\x07" + zlib.compress(bytes(99))),
    "text of 2 MB": chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(2_000_000))),
    "text packed in another way": chunk(b"zTXt", b"Comment\x00\x07hello"),
    "short primaries": chunk(b"cHRM", bytes(8)),
    "no word on sRGB": chunk(b"sRGB", b""),
    "a transparent colour cut short": chunk(b"tRNS", b"\x00\xc8"),
    "a transparent colour with a wrong checksum": chunk(b"tRNS", struct.pack(">HHH", *RED), is_sound=False),
    "text that sets what Pillow keeps beside it": chunk(b"tEXt", b"transparency\x00hello"),
    "text that is taken for a profile": chunk(b"tEXt", b"icc_profile\x00hello"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_description_does_not_refuse_the_picture(name: str) -> None:
    assert colours_of(look(png(DAMAGED[name]))) == [RED]


@pytest.mark.parametrize("name", DAMAGED)
def test_nor_does_one_behind_the_pixels(name: str) -> None:
    assert colours_of(look(png(behind=DAMAGED[name]))) == [RED]


@pytest.mark.parametrize(
    "body",
    [
        SIGNATURE + chunk(b"IHDR", header()[8:-4], is_sound=False) + PIXELS + END,
        SIGNATURE + chunk(b"tEXt", b"a\x00b") + header() + PIXELS + END,
        SIGNATURE + header() + chunk(b"IDAT", packed(RED)[:9] + b"\xff\xff\xff" + packed(RED)[12:]) + END,
        SIGNATURE + header() + END,
    ],
    ids=["the header's checksum", "a chunk before the header", "damaged pixels", "no pixels"],
)
def test_what_makes_the_picture_stays_strict(body: bytes) -> None:
    with pytest.raises(UndecodableError):
        look(body)


def test_a_profile_of_more_than_a_megabyte_is_applied() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    long_profile = srgb + np.random.default_rng(0).bytes(1_500_000)
    body = png(chunk(b"iCCP", b"name\x00\x00" + zlib.compress(long_profile)))
    assert repaired_png(body).profile == long_profile
    assert colours_of(look(body)) == [RED]


@pytest.mark.parametrize("length", [1, 2, 200])
def test_a_palettes_transparency_of_any_length_is_honoured(length: int) -> None:
    colours = chunk(b"PLTE", bytes([*RED, *BLUE]))
    body = SIGNATURE + header(PALETTE) + colours + chunk(b"tRNS", bytes(length)) + chunk(b"IDAT", packed((0,))) + END
    assert colours_of(look(body)) == [(255, 255, 255), (0, 0, 0)]


def test_pixels_may_be_interrupted() -> None:
    whole = packed(RED)
    pixels = chunk(b"IDAT", whole[:9]) + DAMAGED["an unknown chunk"] + chunk(b"IDAT", whole[9:])
    body = SIGNATURE + header() + pixels + END
    assert colours_of(look(body)) == [RED]


def test_rows_that_are_missing_in_a_whole_file_are_missing() -> None:
    rows = zlib.decompress(packed(RED))
    body = SIGNATURE + header() + chunk(b"IDAT", zlib.compress(rows[: len(rows) * 3 // 4 + 5])) + END
    with pytest.raises(TruncatedError):
        look(body)
    views = look(body, OnTruncated.SCAN)
    assert (views.is_truncated, colours_of(views)) == (True, [RED])


# Animations


def control(number: int, side_px: int = SIDE_PX, left_px: int = 0) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, side_px, side_px, left_px, 0, 1, 10, 0, 0))


def frame(number: int, colour: tuple[int, ...] = GREEN) -> bytes:
    return chunk(b"fdAT", number.to_bytes(4, "big") + packed(colour))


def says(frames: int) -> bytes:
    return chunk(b"acTL", struct.pack(">II", frames, 0))


ANIMATIONS = {
    "sound": (png(says(2), control(0), behind=control(1) + frame(2)), [RED, GREEN]),
    "says more": (png(says(9), control(0), behind=control(1) + frame(2)), [RED, GREEN]),
    "says fewer": (png(says(1), control(0), behind=control(1) + frame(2)), [RED, GREEN]),
    "says none": (png(says(0), control(0), behind=control(1) + frame(2)), [RED, GREEN]),
    "says so twice": (png(says(2), says(3), control(0), behind=control(1) + frame(2)), [RED, GREEN]),
    "says so too late": (png(control(0), behind=says(2) + control(1) + frame(2)), [RED, GREEN]),
    "says so in too few bytes": (png(chunk(b"acTL", b"\x00"), control(0), behind=control(1) + frame(2)), [RED, GREEN]),
    "wrong numbers": (png(says(2), control(7), behind=control(7) + frame(0)), [RED, GREEN]),
    "the still apart": (png(says(1), behind=control(0) + frame(1)), [RED, GREEN]),
    "a frame over the edge": (
        png(says(3), control(0), behind=control(1, left_px=4) + frame(2) + control(3) + frame(4, BLUE)),
        [RED, BLUE],
    ),
    "a frame without pixels": (png(says(3), control(0), behind=control(1) + control(2) + frame(3)), [RED, GREEN]),
    "pixels without a frame": (png(says(1), control(0), behind=frame(1)), [RED]),
    "no word of an animation": (png(control(0), behind=control(1) + frame(2)), [RED]),
}


@pytest.mark.parametrize("name", ANIMATIONS)
def test_all_frames_are_seen_however_the_chunks_disagree(name: str) -> None:
    body, colours = ANIMATIONS[name]
    assert colours_of(look(body)) == colours


@pytest.mark.parametrize(("colours", "mode"), [(TRUECOLOUR, "RGB"), (TRUECOLOUR_WITH_ALPHA, "RGBA")])
@pytest.mark.parametrize("blends_over", [False, True])
@pytest.mark.parametrize("dispose", range(3))
def test_the_frames_beside_a_still_begin_on_an_empty_canvas(
    colours: int, mode: str, blends_over: bool, dispose: int
) -> None:
    opaque = (255,) * (len(mode) - 3)
    corner_px = SIDE_PX // 4
    corner = zlib.compress((b"\x00" + bytes((*GREEN, *opaque)) * corner_px) * corner_px)
    place = struct.pack(">5IHHBB", 0, corner_px, corner_px, 0, 0, 1, 10, dispose, blends_over)
    still = chunk(b"IDAT", packed((*RED, *opaque)))
    frames = chunk(b"fcTL", place) + chunk(b"fdAT", (1).to_bytes(4, "big") + corner)
    views = look(SIGNATURE + header(colours) + says(1) + still + frames + END)
    assert colours_of(views)[0] == RED
    assert set(colours_of(views)[1:]) <= {(0, 0, 0), (255, 255, 255)}
    assert all(tuple(pixels[0, 0]) == GREEN for pixels in views.pixels[1:])


def test_the_frames_ahead_of_a_cut_are_seen() -> None:
    body = png(says(3), control(0), behind=control(1) + frame(2) + control(3) + frame(4, BLUE))
    cut = body[: body.rindex(b"fdAT") + 2]
    with pytest.raises(TruncatedError):
        look(cut)
    views = look(cut, OnTruncated.SCAN)
    assert (views.is_truncated, colours_of(views)) == (True, [RED, GREEN])


# Bodies that are made to stop us


@pytest.mark.parametrize(
    "body",
    [
        png(*[chunk(b"tEXt", b"")] * 150_000),
        png(*[chunk(b"iTXt", b"XML:com.adobe.xmp\x00\x01\x00\x00\x00" + zlib.compress(bytes(1 << 20)))] * 1000),
        png(*[chunk(b"iCCP", b"name\x00\x00" + zlib.compress(bytes(8 << 20)))] * 5000),
    ],
    ids=["many chunks", "packed metadata", "packed profiles"],
)
def test_many_chunks_cost_little(body: bytes) -> None:
    began_s = time.process_time()
    assert colours_of(look(body)) == [RED]
    assert time.process_time() - began_s < LONGEST_S


def test_more_chunks_than_any_encoder_writes_are_refused() -> None:
    with pytest.raises(UndecodableError):
        look(png(*[chunk(b"tEXt", b"")] * 250_000))


SEED = png(
    says(3),
    control(0),
    chunk(b"tRNS", struct.pack(">HHH", *GREEN)),
    chunk(b"eXIf", b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"),
    behind=control(1, 8) + frame(2) + control(3) + frame(4, BLUE),
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_is_done_to_it_there_are_views_or_one_of_our_errors(data: st.DataObject) -> None:
    body = bytearray(SEED)
    for place in data.draw(st.lists(st.integers(8, len(body) - 1), min_size=1, max_size=8)):
        body[place] = data.draw(st.integers(0, 255))
    del body[data.draw(st.integers(8, len(body))) :]
    on_truncated = data.draw(st.sampled_from(OnTruncated))
    limits = MediaLimits(max_pixels=20_000, max_frames_total=5, max_frames=3)
    try:
        views = preprocess(bytes(body), SIDE_PX, limits, NO_HURRY, on_truncated)
    except UnscannableError:
        return
    assert len(views.pixels) == len(views.places) >= 1


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    mode=st.sampled_from(("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    seed=st.integers(0, 1000),
)
def test_a_sound_picture_is_the_same_after_the_repair(mode: str, size: tuple[int, int], seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), np.uint8)
    picture = Image.fromarray(noise).convert("L" if mode == "I;16" else mode)
    written = io.BytesIO()
    (picture.convert("I;16") if mode == "I;16" else picture).save(written, "PNG")
    before, after = Image.open(written), Image.open(io.BytesIO(repaired_png(written.getvalue()).body))
    assert (before.mode, before.info) == (after.mode, after.info)
    assert before.tobytes() == after.tobytes()
