"""Every kind of picture becomes upright RGB in which nothing that a viewer sees is hidden."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from hypothesis import settings
from PIL import ExifTags, Image, ImageCms
from pillow_jxl import JpegXLImagePlugin  # noqa: F401 - teaches Pillow to write JPEG XL

from .pictures import (
    BLUE,
    GREEN,
    GREY_ALPHA,
    PILLOW_FORMATS,
    RED,
    TRUECOLOUR,
    TRUECOLOUR_ALPHA,
    YELLOW,
    encode,
    half_and_half,
    pixels_of,
    png,
)

quick = settings(max_examples=100, deadline=None, derandomize=True)


def quadrants() -> Image.Image:
    """48x32: red, green; blue, yellow. Each orientation puts another colour into the top left corner."""
    picture = Image.new("RGB", (48, 32), RED)
    picture.paste(GREEN, (24, 0, 48, 16))
    picture.paste(BLUE, (0, 16, 24, 32))
    picture.paste(YELLOW, (24, 16, 48, 32))
    return picture


# Still pictures


@pytest.mark.parametrize("media_type", PILLOW_FORMATS)
def test_a_still_of_every_format_is_one_frame_of_its_colours(media_type: str) -> None:
    (pixels,) = pixels_of(encode(quadrants(), media_type, quality=95), media_type)
    corners = pixels[[4, 4, 28, 28], [4, 44, 4, 44]].astype(int)
    assert pixels.shape == (32, 48, 3)
    np.testing.assert_allclose(corners, [RED, GREEN, BLUE, YELLOW], atol=12)


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/webp"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\x00\x00no TIFF at all",
        b"Exif\x00\x00",
        b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x63\x00\x00\x00\x00\x00\x00\x00",
        b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x02\x00\x04\x00\x00\x00abc\x00\x00\x00\x00\x00",
        b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + b"\x12\x01\x02\x00" * 20,
    ],
    ids=["garbage", "empty", "orientation 99", "orientation in letters", "65535 entries"],
)
def test_broken_exif_leaves_a_picture_as_it_stands(media_type: str, exif: bytes) -> None:
    (pixels,) = pixels_of(encode(quadrants(), media_type, quality=95, exif=exif), media_type)
    np.testing.assert_allclose(pixels[4, 4].astype(int), RED, atol=12)


@pytest.mark.parametrize(
    ("picture", "left", "right"),
    [
        (half_and_half("L", 10, 200), (10,) * 3, (200,) * 3),
        (half_and_half("1", 0, 1), (0,) * 3, (255,) * 3),
        (half_and_half("RGB", (200, 10, 20), (20, 10, 200)).quantize(4), (200, 10, 20), (20, 10, 200)),
        (half_and_half("RGBA", (200, 10, 20, 255), (20, 10, 200, 255)), (200, 10, 20), (20, 10, 200)),
        (half_and_half("LA", (10, 255), (200, 255)), (10,) * 3, (200,) * 3),
    ],
    ids=["grey", "1 bit", "palette", "opaque RGBA", "opaque LA"],
)
def test_an_opaque_picture_of_any_mode_is_one_frame(
    picture: Image.Image, left: tuple[int, int, int], right: tuple[int, int, int]
) -> None:
    (pixels,) = pixels_of(encode(picture))
    assert (tuple(pixels[8, 8]), tuple(pixels[8, 24])) == (left, right)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_jpeg_of_another_mode_keeps_its_brightness(mode: str) -> None:
    dark_and_light = half_and_half("RGB", (40, 40, 40), (220, 220, 220)).convert(mode)
    (pixels,) = pixels_of(encode(dark_and_light, "image/jpeg", quality=95), "image/jpeg")
    np.testing.assert_allclose(pixels[8, [4, 28]].astype(int), [[40] * 3, [220] * 3], atol=6)


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 32).astype(np.uint16)[None].repeat(16, axis=0)
    body = encode(Image.fromarray(ramp))
    assert Image.open(io.BytesIO(body)).mode == "I;16"
    (pixels,) = pixels_of(body)
    np.testing.assert_array_equal(pixels[0, :, 0], ramp[0] >> 8)


@pytest.mark.parametrize(
    ("colour_type", "sample", "over_white", "over_black"),
    [
        (TRUECOLOUR, (40_000, 20_000, 65_535), (156, 78, 255), None),
        (TRUECOLOUR_ALPHA, (0, 0, 65_535, 0), (255, 255, 255), (0, 0, 0)),
        (TRUECOLOUR_ALPHA, (0, 0, 65_535, 32_896), (127, 127, 255), (0, 0, 128)),
        (GREY_ALPHA, (65_535, 32_896), (255, 255, 255), (128, 128, 128)),
    ],
)
def test_16_bits_a_channel_are_scaled(
    colour_type: int,
    sample: tuple[int, ...],
    over_white: tuple[int, int, int],
    over_black: tuple[int, int, int] | None,
) -> None:
    seen = [tuple(pixels[0, 0]) for pixels in pixels_of(png(np.full((8, 8, len(sample)), sample, "u2"), colour_type))]
    assert seen == ([over_white] if over_black is None else [over_white, over_black])


def test_a_jpeg_xl_is_turned_by_its_own_header_and_not_by_its_exif() -> None:
    # ISO/IEC 18181-2: the codestream says how it stands; Exif is to be ignored.
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    (pixels,) = pixels_of(encode(quadrants(), "image/jxl", exif=exif.tobytes(), use_container=True), "image/jxl")
    assert pixels.shape[:2] == (32, 48)
    np.testing.assert_allclose(pixels[4, 4].astype(int), RED, atol=12)


@pytest.mark.parametrize("top", [1.0, 255.0, 65_535.0, 1e9])
def test_floating_point_is_scaled_by_the_range_that_it_uses(top: float) -> None:
    ramp = np.linspace(0, top, 32, dtype=np.float32)[None].repeat(16, axis=0)
    (pixels,) = pixels_of(encode(Image.fromarray(ramp), "image/tiff"), "image/tiff")
    np.testing.assert_allclose(pixels[0, :, 0], np.linspace(0, 255, 32), atol=1)


def test_what_is_no_number_is_a_pixel_too() -> None:
    strange = np.array([[np.nan, np.inf, -np.inf, 0.0, 1.0, -5.0]], np.float32)
    (pixels,) = pixels_of(encode(Image.fromarray(strange), "image/tiff"), "image/tiff")
    assert pixels.shape == (1, 6, 3)


def test_32_bit_grey_is_scaled() -> None:
    ramp = np.linspace(0, 2**31 - 1, 32).astype(np.int32)[None].repeat(16, axis=0)
    (pixels,) = pixels_of(encode(Image.fromarray(ramp), "image/tiff"), "image/tiff")
    np.testing.assert_allclose(pixels[0, :, 0], np.linspace(0, 255, 32), atol=1)


def test_lab_has_a_meaning_in_rgb() -> None:
    lab = Image.frombytes("LAB", (1, 1), bytes([136, 81, 70])).resize((8, 8))  # L* 53, a* 81, b* 70: about pure red
    (pixels,) = pixels_of(encode(lab, "image/tiff"), "image/tiff")
    red, green, blue = pixels[4, 4].astype(int)
    assert red > 220
    assert max(green, blue) < 60


# Colour profiles and gamma


def s15_fixed16(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65_536)) for number in numbers)


def icc_profile(space: bytes, gamma: float, primaries: tuple[tuple[float, ...], ...] = ()) -> bytes:
    """A display profile of a gamma and, for RGB, the XYZ (D50) of its three primaries (ICC.1:2022, 7 and 8)."""
    curve = b"para" + bytes(4) + struct.pack(">HH", 0, 0) + s15_fixed16(gamma)
    text = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2, 28) + b"\x00x" + bytes(2)
    white = b"XYZ " + bytes(4) + s15_fixed16(0.9642, 1.0, 0.8249)
    tags = [(b"desc", text), (b"cprt", text), (b"wtpt", white)]
    if space == b"RGB ":
        tags += [(name, b"XYZ " + bytes(4) + s15_fixed16(*xyz)) for name, xyz in zip(NAMES, primaries, strict=True)]
        tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    else:
        tags += [(b"kTRC", curve)]
    at = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags:
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", at + len(data), len(content))
        data += padded
    header = struct.pack(">I4sI4s4s4s", at + len(data), bytes(4), 0x04300000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + s15_fixed16(0.9642, 1.0, 0.8249)
    return header + bytes(128 - len(header)) + table + data


NAMES = (b"rXYZ", b"gXYZ", b"bXYZ")
SRGB_PRIMARIES = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
ADOBE_PRIMARIES = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
ADOBE_RGB = icc_profile(b"RGB ", 2.2, ADOBE_PRIMARIES)
PROFILED = ["image/jpeg", "image/png", "image/webp", "image/avif", "image/heic", "image/tiff"]


@pytest.mark.parametrize("media_type", PROFILED)
def test_a_wide_profile_is_brought_to_srgb(media_type: str) -> None:
    # Adobe RGB's (150, 200, 100) is a stronger green in sRGB: less red, and as much green.
    body = encode(Image.new("RGB", (32, 32), (150, 200, 100)), media_type, icc_profile=ADOBE_RGB, quality=95)
    (pixels,) = pixels_of(body, media_type)
    np.testing.assert_allclose(pixels[16, 16].astype(int), (124, 201, 92), atol=10)


@pytest.mark.parametrize(
    "profile", [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"no profile at all", b"\x00" * 400]
)
def test_srgb_and_what_is_no_profile_change_nothing(profile: bytes) -> None:
    (pixels,) = pixels_of(encode(quadrants(), icc_profile=profile))
    np.testing.assert_array_equal(pixels, np.asarray(quadrants()))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_profile_of_another_colour_space_is_ignored(mode: str) -> None:
    picture = Image.new("RGB", (32, 32), (90, 90, 90)).convert(mode)
    (pixels,) = pixels_of(encode(picture, "image/tiff", icc_profile=icc_profile(b"XYZ ", 2.2)), "image/tiff")
    np.testing.assert_allclose(pixels[16, 16].astype(int), (90, 90, 90), atol=2)


def test_a_grey_profile_is_applied_to_a_grey_picture() -> None:
    profile = icc_profile(b"GRAY", 1.8)
    (pixels,) = pixels_of(encode(Image.new("L", (32, 32), 100), icc_profile=profile))
    # 255 * sRGB((100/255) ** 1.8)
    np.testing.assert_allclose(pixels[16, 16].astype(int), (120, 120, 120), atol=3)


def test_transparency_survives_a_profile() -> None:
    drawn = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    drawn.paste((150, 200, 100, 255), (8, 8, 24, 24))
    over_white, over_black = pixels_of(encode(drawn, icc_profile=ADOBE_RGB))
    assert (over_white[0, 0, 0], over_black[0, 0, 0]) == (255, 0)
    np.testing.assert_allclose(over_black[16, 16].astype(int), (124, 201, 92), atol=10)


def test_a_profile_that_makes_another_picture_is_looked_at_with_and_without() -> None:
    # What is next to black in numbers is bright to a viewer that heeds this profile, and only to that one.
    profile = icc_profile(b"RGB ", 0.1, SRGB_PRIMARIES)
    without, heeded = pixels_of(encode(half_and_half("RGB", (0, 0, 0), (6, 6, 6)), icc_profile=profile))
    assert int(np.ptp(without)) <= 6
    assert int(np.ptp(heeded)) > 150


@pytest.mark.parametrize(("gamma", "readings"), [(45_455, 1), (50_000, 1), (100_000, 2), (2_272, 2)])
def test_an_odd_gamma_of_a_png_is_looked_at_with_and_without(gamma: int, readings: int) -> None:
    assert len(pixels_of(with_gamma(encode(quadrants()), gamma))) == readings


def test_a_picture_that_only_its_gamma_shows_is_seen() -> None:
    # The known trick: a picture squeezed into the numbers next to white, with a gamma that spreads them out.
    body = with_gamma(encode(half_and_half("RGB", (240,) * 3, (255,) * 3)), 2_272)
    without, heeded = pixels_of(body)
    assert int(np.ptp(without)) <= 15
    assert int(np.ptp(heeded)) > 150


def with_gamma(body: bytes, gamma: int) -> bytes:
    """A PNG with a gAMA chunk; in units of 1/100000."""
    return with_chunk(body, b"gAMA" + gamma.to_bytes(4, "big"))


def with_chunk(body: bytes, content: bytes) -> bytes:
    """A PNG with a chunk behind its header (of 8 + 25 bytes); ``content`` begins with its name."""
    length = (len(content) - 4).to_bytes(4, "big")
    return body[:33] + length + content + zlib.crc32(content).to_bytes(4, "big") + body[33:]


RED_XY, GREEN_XY, BLUE_XY, WHITE_XY = (64_000, 33_000), (30_000, 60_000), (15_000, 6_000), (31_270, 32_900)


def with_primaries(body: bytes, *points: tuple[int, int]) -> bytes:
    """A PNG with a cHRM chunk: white, red, green, blue."""
    return with_chunk(body, b"cHRM" + struct.pack(">8I", *itertools.chain(*points)))


@pytest.mark.parametrize("gamma", [None, 45_455])
def test_a_picture_that_only_its_primaries_show_is_seen(gamma: int | None) -> None:
    body = with_primaries(encode(Image.new("RGB", (32, 32), (200, 60, 60))), WHITE_XY, GREEN_XY, BLUE_XY, RED_XY)
    without, heeded = pixels_of(body if gamma is None else with_gamma(body, gamma))
    np.testing.assert_array_equal(without[16, 16], (200, 60, 60))
    np.testing.assert_allclose(heeded[16, 16].astype(int), (60, 200, 60), atol=3)


@pytest.mark.parametrize("gamma", [1_000, 2_272, 1_000_000])
def test_primaries_are_seen_beside_any_gamma(gamma: int) -> None:
    body = with_primaries(encode(half_and_half("RGB", (255, 0, 0), (0, 0, 0))), WHITE_XY, GREEN_XY, BLUE_XY, RED_XY)
    *_, heeded = pixels_of(with_gamma(body, gamma))
    assert heeded[..., 1].max() > 200 > heeded[..., 0].max()


def test_primaries_leave_transparency_as_it_is() -> None:
    drawn = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    drawn.paste((200, 60, 60, 255), (8, 8, 24, 24))
    *_, over_white, over_black = pixels_of(with_primaries(encode(drawn), WHITE_XY, GREEN_XY, BLUE_XY, RED_XY))
    assert (over_white[0, 0, 0], over_black[0, 0, 0]) == (255, 0)
    np.testing.assert_allclose(over_black[16, 16].astype(int), (60, 200, 60), atol=3)


ADOBE_XY = (WHITE_XY, (64_000, 33_000), (21_000, 71_000), (15_000, 6_000))


@pytest.mark.parametrize(
    "points",
    [
        (WHITE_XY, RED_XY, GREEN_XY, BLUE_XY),
        ADOBE_XY,
        (WHITE_XY, RED_XY, RED_XY, RED_XY),
        (WHITE_XY, RED_XY, GREEN_XY, (15_000, 0)),
        ((0, 0), RED_XY, GREEN_XY, BLUE_XY),
        ((0, 0),) * 4,
        ((2**31,) * 2,) * 4,
    ],
)
def test_usual_primaries_and_no_primaries_change_nothing(points: tuple[tuple[int, int], ...]) -> None:
    assert len(pixels_of(with_gamma(with_primaries(encode(quadrants()), *points), 45_455))) == 1


def test_code_points_beside_a_palette_are_looked_at_with_and_without() -> None:
    linear = b"cICP" + bytes([1, 8, 0, 1])
    drawn = Image.new("RGB", (32, 32), (60, 60, 60))
    (converted,) = pixels_of(with_chunk(encode(drawn), linear))
    without, heeded = pixels_of(with_chunk(encode(drawn.quantize(2)), linear))
    np.testing.assert_array_equal(without[16, 16], (60, 60, 60))
    np.testing.assert_array_equal(heeded[16, 16], converted[16, 16])
    assert converted[16, 16, 0] > 100
