"""HDR and wide gamut come out as Chromium 156 drew the same numbers on a canvas, in every type that carries them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from serve_app.domain import Deadline
from serve_app.media import MediaLimits, preprocess
from serve_app.media.decoder_plugins import register_decoders
from serve_app.media.parsers.cicp import Cicp, cicp_of_avif, cicp_of_png, cicp_of_profile
from serve_app.media.tone_mapping import as_srgb

register_decoders()
NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
PQ, HLG, LINEAR, SRGB = 16, 18, 8, 13
BT709, BT2020, P3 = 1, 9, 12
GREY = tuple(range(0, 256, 32))

BROWSER = {
    Cicp(BT2020, PQ): (0, 5, 30, 70, 132, 213, 255, 255),
    Cicp(BT2020, PQ, 400.0): (0, 8, 39, 88, 163, 249, 255, 255),
    Cicp(BT2020, PQ, 600.0): (0, 6, 35, 80, 150, 236, 255, 255),
    Cicp(BT2020, PQ, 4000.0): (0, 5, 30, 70, 132, 202, 226, 250),
    Cicp(BT2020, HLG): (0, 14, 43, 71, 99, 135, 189, 228),
    Cicp(BT2020, HLG, 400.0): (0, 20, 55, 89, 123, 166, 231, 255),
    Cicp(BT709, LINEAR): (0, 99, 137, 165, 188, 208, 225, 241),
    Cicp(P3, SRGB): GREY,
}
COLOURS = {
    (Cicp(BT2020, SRGB), (128, 100, 50)): (145, 96, 38),
    (Cicp(P3, SRGB), (128, 100, 50)): (133, 99, 40),
    (Cicp(P3, SRGB), (255, 100, 50)): (255, 85, 16),
    (Cicp(BT2020, PQ), (128, 100, 50)): (158, 66, 0),
    (Cicp(P3, PQ), (128, 100, 50)): (141, 73, 0),
    (Cicp(BT2020, HLG), (128, 100, 50)): (108, 73, 27),
    (Cicp(BT2020, HLG), (0, 0, 255)): (0, 0, 249),
    (Cicp(BT709, HLG), (255, 100, 50)): (255, 71, 34),
}


def shown(pixels: NDArray[np.uint8], cicp: Cicp) -> NDArray[np.int_]:
    return np.asarray(as_srgb(Image.fromarray(pixels), cicp)).astype(int)


@pytest.mark.parametrize("cicp", BROWSER, ids=str)
def test_a_ramp_of_grey_is_shown_as_in_a_browser(cicp: Cicp) -> None:
    ramp = np.repeat(np.array(GREY, np.uint8), 3).reshape(1, -1, 3)
    np.testing.assert_allclose(shown(ramp, cicp)[0], np.repeat(BROWSER[cicp], 3).reshape(-1, 3), atol=4)


@pytest.mark.parametrize(("cicp", "colour"), COLOURS, ids=str)
def test_a_colour_is_shown_as_in_a_browser(cicp: Cicp, colour: tuple[int, int, int]) -> None:
    np.testing.assert_allclose(shown(np.array([[colour]], np.uint8), cicp)[0, 0], COLOURS[cicp, colour], atol=2)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.one_of(st.just(0.0), st.floats(0, 1e9)),
    st.tuples(*[st.integers(0, 255)] * 3),
)
def test_every_code_point_and_peak_gives_a_picture(
    primaries: int, transfer: int, peak_nits: float, colour: tuple[int, int, int]
) -> None:
    levels = shown(np.array([[(0, 0, 0), colour, (255, 255, 255)]], np.uint8), Cicp(primaries, transfer, peak_nits))
    assert (levels[0, 0] == 0).all()
    assert (levels[0, 2] >= 250).all()


def test_transparency_stays() -> None:
    picture = Image.new("RGBA", (4, 4), (144, 144, 144, 77))
    assert as_srgb(picture, Cicp(BT2020, PQ)).getpixel((0, 0)) == (175, 175, 175, 77)


# In each type


def in_png(mode: str = "RGB", cicp: bytes = bytes((BT2020, PQ, 0, 1)), light: bytes = b"") -> bytes:
    written = io.BytesIO()
    picture = Image.new("RGB", (64, 64), (144, 144, 144))
    (picture.quantize(2) if mode == "P" else picture.convert(mode)).save(written, "PNG")
    body = written.getvalue()
    return body[:33] + chunk(b"cICP", cicp) + light + body[33:]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def in_avif(frames: int = 1) -> bytes:
    written = io.BytesIO()
    pictures = [Image.new("RGB", (64, 64), (144, 144, 144 + step)) for step in range(frames)]
    pictures[0].save(written, "AVIF", quality=100, save_all=frames > 1, append_images=pictures[1:])
    body = written.getvalue()
    assert b"nclx\x00\x01\x00\x0d" in body
    return body.replace(b"nclx\x00\x01\x00\x0d", b"nclx" + struct.pack(">2H", BT2020, PQ))


def in_heif() -> bytes:
    written = io.BytesIO()
    picture = Image.new("RGB", (64, 64), (144, 144, 144))
    picture.save(written, "HEIF", quality=-1, color_primaries=BT2020, transfer_characteristics=PQ)
    return written.getvalue()


def in_jpeg() -> bytes:
    """With a profile that says PQ in the tag that ICC has for it."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tag = b"cicp" + bytes(4) + bytes((BT2020, PQ, 0, 1))
    profile[132:144] = b"cicp" + struct.pack(">2I", len(profile), len(tag))
    written = io.BytesIO()
    picture = Image.new("RGB", (64, 64), (144, 144, 144))
    picture.save(written, "JPEG", quality=100, icc_profile=bytes(profile) + tag)
    return written.getvalue()


FILES = {
    "png": in_png(),
    "png, grey": in_png("L"),
    "png, palette": in_png("P"),
    "avif": in_avif(),
    "avif, animated": in_avif(3),
    "heif": in_heif(),
    "jpeg": in_jpeg(),
}


@pytest.mark.parametrize("kind", FILES)
def test_pq_is_seen_as_browsers_show_it_and_as_it_stands(kind: str) -> None:
    views = preprocess(FILES[kind], 32, MediaLimits(), NO_HURRY)
    means: dict[int, list[float]] = {places.frame: [] for places in views.places}
    for place, pixels in zip(views.places, views.pixels, strict=True):
        means[place.frame].append(float(pixels[..., :2].mean()))
    for of_one_frame in means.values():
        assert sorted(of_one_frame) == [pytest.approx(144, abs=3), pytest.approx(175, abs=6)]


def test_the_peak_that_a_png_names_counts() -> None:
    light = chunk(b"cLLI", struct.pack(">2I", 400 * 10_000, 0))
    screen = chunk(b"mDCV", bytes(16) + struct.pack(">2I", 600 * 10_000, 0))
    assert cicp_of_png(in_png(light=screen)) == Cicp(BT2020, PQ, 600.0)
    assert cicp_of_png(in_png(light=screen + light)) == Cicp(BT2020, PQ, 400.0)
    views = preprocess(in_png(light=light), 32, MediaLimits(), NO_HURRY)
    told, usual = (as_srgb(Image.new("RGB", (1, 1), (144, 144, 144)), Cicp(BT2020, PQ, nits)) for nits in (400.0, 0.0))
    levels = {int(pixels[16, 16, 0]) for pixels in views.pixels}
    assert np.asarray(told)[0, 0, 0] in levels
    assert np.asarray(usual)[0, 0, 0] not in levels


@pytest.mark.parametrize("cicp", [bytes((9, 16, 0, 0)), bytes((9, 16, 9, 1)), bytes((9, 16, 0))])
def test_a_cicp_chunk_that_browsers_ignore_is_ignored(cicp: bytes) -> None:
    assert cicp_of_png(in_png(cicp=cicp)) is None


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_damaged_descriptions_of_colours_are_no_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["avif", "avif, animated", "png"]))
    body = bytearray(FILES[kind])
    for place in data.draw(st.lists(st.integers(12, min(len(body), 1500) - 1), min_size=1, max_size=8)):
        body[place] = data.draw(st.integers(0, 255))
    for read in (cicp_of_avif, cicp_of_png, cicp_of_profile):
        assert isinstance(read(bytes(body)), Cicp | None)
