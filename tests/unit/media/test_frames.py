"""Every kind of still and animation becomes upright RGB in which nothing that a viewer sees is hidden."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image

from serve_app.domain import Deadline, DeadlineExceededError, TooLargeError, UndecodableError, UnsupportedError
from serve_app.media.decode import decoding, open_picture
from serve_app.media.frames import Frame, sample_frames, shown_s
from serve_app.media.limits import MediaLimits

NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
quick = settings(max_examples=100, deadline=None, derandomize=True)
slow = settings(quick, max_examples=6)
PILLOW_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
}
GREY, TRUECOLOUR, GREY_ALPHA, TRUECOLOUR_ALPHA = 0, 2, 4, 6
"""PNG's colour types (W3C PNG, table 11.1)."""
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def encode(picture: Image.Image, media_type: str = "image/png", **options: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, PILLOW_FORMATS[media_type], **options)
    return written.getvalue()


def frames_of(body: bytes, media_type: str = "image/png", limits: MediaLimits | None = None) -> list[Frame]:
    limits = limits or MediaLimits()
    with decoding(media_type):
        return list(sample_frames(lambda: open_picture(body, media_type, limits), limits, NO_HURRY).frames)


def pixels_of(body: bytes, media_type: str = "image/png") -> list[NDArray[np.uint8]]:
    frames = frames_of(body, media_type)
    assert {frame.picture.mode for frame in frames} == {"RGB"}
    return [np.asarray(frame.picture) for frame in frames]


def png(samples: NDArray[np.uint16], colour_type: int, bits: int = 16, transparent: bytes | None = None) -> bytes:
    """A PNG of a kind that Pillow does not write; ``samples`` is ``(height, width)``, then channels if several."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    def packed(row: NDArray[np.uint16]) -> bytes:
        if bits == 16:
            return row.astype(">u2").tobytes()
        shifts = range(8 - bits, -1, -bits)
        return bytes(
            sum(int(sample) << shift for sample, shift in zip(group, shifts, strict=True))
            for group in row.reshape(-1, 8 // bits)
        )

    height_px, width_px = samples.shape[:2]
    rows = b"".join(b"\x00" + packed(row) for row in samples)
    colour_key = chunk(b"tRNS", transparent) if transparent is not None else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width_px, height_px, bits, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + colour_key + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def quadrants() -> Image.Image:
    """48x32: red, green; blue, yellow. Each orientation puts another colour into the top left corner."""
    picture = Image.new("RGB", (48, 32), RED)
    picture.paste(GREEN, (24, 0, 48, 16))
    picture.paste(BLUE, (0, 16, 24, 32))
    picture.paste(YELLOW, (24, 16, 48, 32))
    return picture


def half_and_half(mode: str, left: object, right: object) -> Image.Image:
    picture = Image.new(mode, (32, 16), left)  # type: ignore[arg-type]
    picture.paste(right, (16, 0, 32, 16))  # type: ignore[arg-type]
    return picture


# Still pictures


@pytest.mark.parametrize("media_type", PILLOW_FORMATS)
def test_a_still_of_every_format_is_one_frame_of_its_colours(media_type: str) -> None:
    (pixels,) = pixels_of(encode(quadrants(), media_type, quality=95), media_type)
    corners = pixels[[4, 4, 28, 28], [4, 44, 4, 44]].astype(int)
    assert pixels.shape == (32, 48, 3)
    np.testing.assert_allclose(corners, [RED, GREEN, BLUE, YELLOW], atol=12)


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/webp", "image/avif"])
@pytest.mark.parametrize(
    ("orientation", "corners"),
    [
        (1, (RED, GREEN, BLUE, YELLOW)),
        (2, (GREEN, RED, YELLOW, BLUE)),
        (3, (YELLOW, BLUE, GREEN, RED)),
        (4, (BLUE, YELLOW, RED, GREEN)),
        (5, (RED, BLUE, GREEN, YELLOW)),
        (6, (BLUE, RED, YELLOW, GREEN)),
        (7, (YELLOW, GREEN, BLUE, RED)),
        (8, (GREEN, YELLOW, RED, BLUE)),
    ],
)
def test_every_exif_orientation_is_turned_upright(
    media_type: str, orientation: int, corners: tuple[tuple[int, int, int], ...]
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    (pixels,) = pixels_of(encode(quadrants(), media_type, quality=95, exif=exif), media_type)
    assert pixels.shape[:2] == ((32, 48) if orientation <= 4 else (48, 32))
    seen = [pixels[4, 4], pixels[4, -4], pixels[-4, 4], pixels[-4, -4]]
    np.testing.assert_allclose(np.array(seen, int), corners, atol=12)


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


# Transparency


@pytest.mark.parametrize("media_type", ["image/png", "image/webp", "image/avif"])
@pytest.mark.parametrize(("ink", "shown_over"), [("white", 1), ("black", 0)])
def test_what_is_drawn_in_a_backgrounds_colour_shows_over_the_other(media_type: str, ink: str, shown_over: int) -> None:
    drawn = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    drawn.paste(ink, (8, 8, 24, 24))
    contrasts = [int(np.ptp(pixels)) for pixels in pixels_of(encode(drawn, media_type, quality=95), media_type)]
    assert contrasts[shown_over] > 200
    assert contrasts[1 - shown_over] < 20


def grey_with_alpha(ink: int) -> Image.Image:
    return half_and_half("LA", (ink, 255), (ink, 0))


def palette_with_one_transparent_colour(ink: int) -> Image.Image:
    picture = half_and_half("P", 0, 1)
    picture.putpalette([ink] * 6)
    picture.info["transparency"] = 1
    return picture


def palette_with_alpha(ink: int) -> Image.Image:
    picture = half_and_half("P", 0, 1)
    picture.putpalette([ink] * 6)
    picture.info["transparency"] = bytes([255, 0])
    return picture


@pytest.mark.parametrize("kind", [grey_with_alpha, palette_with_one_transparent_colour, palette_with_alpha])
@pytest.mark.parametrize(("ink", "shown_over"), [(255, 1), (0, 0)])
def test_every_kind_of_transparency_counts(kind: Callable[[int], Image.Image], ink: int, shown_over: int) -> None:
    contrasts = [int(np.ptp(pixels)) for pixels in pixels_of(encode(kind(ink)))]
    assert contrasts == [255 * (over == shown_over) for over in range(2)]


def test_a_transparent_gif_is_shown_over_both_backgrounds() -> None:
    contrasts = [
        int(np.ptp(pixels))
        for pixels in pixels_of(
            encode(palette_with_one_transparent_colour(255), "image/gif", transparency=1), "image/gif"
        )
    ]
    assert contrasts == [0, 255]


@pytest.mark.parametrize(("bits", "transparent", "ink"), [(1, 1, 0), (2, 1, 2), (4, 7, 8), (16, 1000, 1001)])
def test_pngs_one_transparent_grey_is_left_out(bits: int, transparent: int, ink: int) -> None:
    # A browser shows `ink` on its own background. Beside the transparent grey itself it is next to invisible.
    samples = np.full((8, 16), transparent, "u2")
    samples[:, 8:] = ink
    over_white, over_black = pixels_of(png(samples, GREY, bits, transparent.to_bytes(2, "big")))
    assert (over_white[0, 0, 0], over_black[0, 0, 0]) == (255, 0)
    assert over_white[0, -1, 0] == over_black[0, -1, 0]


def test_pngs_one_transparent_colour_is_left_out() -> None:
    over_white, over_black = pixels_of(encode(half_and_half("RGB", (9, 9, 9), (9, 9, 8)), transparency=(9, 9, 9)))
    assert (over_white[0, 0, 0], over_black[0, 0, 0]) == (255, 0)
    assert tuple(over_white[0, -1]) == tuple(over_black[0, -1]) == (9, 9, 8)


@pytest.mark.parametrize("value", [100, 1000])
def test_one_transparent_colour_in_16_bits_is_refused_rather_than_missed(value: int) -> None:
    body = png(np.full((8, 8, 3), value, "u2"), TRUECOLOUR, transparent=struct.pack(">HHH", value, value, value))
    with pytest.raises(UnsupportedError, match="16 bits and one transparent colour"):
        frames_of(body)


# Animations


ANIMATED = ("image/gif", "image/webp", "image/avif", "image/png")


def moving(step: int) -> Image.Image:
    """Two bars that walk over a dark picture, each at its own pace: no two of the first 900 look alike."""
    picture = Image.new("RGB", (64, 64), (20, 30, 60))
    picture.paste((40, 160, 200), (4 * step % 64, 0, 4 * step % 64 + 4, 64))
    picture.paste((60, 200, 90), (0, 4 * (step // 16) % 64, 64, 4 * (step // 16) % 64 + 4))
    return picture


def seen_colour(picture: Image.Image) -> tuple[int, ...]:
    """The colour of a picture that has one, of black, white and the six between them."""
    return tuple(255 if level > 127 else 0 for level in np.asarray(picture).mean(axis=(0, 1)))


def animation(greys: list[int], media_type: str) -> bytes:
    frames = [Image.new("RGB", (32, 32), (grey, grey, grey)) for grey in greys]
    return encode(frames[0], media_type, save_all=True, append_images=frames[1:], duration=50)


@pytest.mark.parametrize("media_type", ANIMATED)
def test_frames_are_sampled_over_the_whole_length(media_type: str) -> None:
    greys = list(range(0, 250, 25))
    frames = frames_of(animation(greys, media_type), media_type, MediaLimits(max_frames=4))
    assert len(frames) == 4
    assert [frames[0].index, frames[-1].index] == [0, 9]
    shown = [int(np.asarray(frame.picture).mean()) for frame in frames]
    np.testing.assert_allclose(shown, [greys[frame.index] for frame in frames], atol=4)


@pytest.mark.parametrize(
    ("duration_ms", "seconds"), [(0, 0.1), (10, 0.1), (11, 0.011), (20, 0.02), (16.7, 0.0167), (5000, 5.0)]
)
def test_a_frame_counts_for_as_long_as_browsers_show_it(duration_ms: float, seconds: float) -> None:
    assert shown_s(duration_ms) == pytest.approx(seconds)


@pytest.mark.parametrize("media_type", ANIMATED)
@slow
@given(st.data())
def test_a_picture_that_stays_for_a_sixteenth_of_the_time_is_seen(media_type: str, data: st.DataObject) -> None:
    # Everything but the red picture moves, and some of it for long: the time counts, not the number of frames.
    others = data.draw(st.lists(st.sampled_from([20, 40, 200]), min_size=17, max_size=50))
    at = data.draw(st.integers(0, len(others)))
    stays_ms = 20 * ceil(sum(others) / 15 / 20)
    frames = [moving(step) for step in range(len(others))]
    frames.insert(at, Image.new("RGB", (64, 64), RED))
    body = encode(
        frames[0], media_type, save_all=True, append_images=frames[1:], duration=[*others[:at], stays_ms, *others[at:]]
    )
    assert RED in [seen_colour(frame.picture) for frame in frames_of(body, media_type)]


@pytest.mark.parametrize("media_type", ANIMATED)
def test_a_single_odd_frame_is_found(media_type: str) -> None:
    frames = [moving(step) for step in range(100)]
    frames[71] = Image.new("RGB", (64, 64), RED)
    body = encode(frames[0], media_type, save_all=True, append_images=frames[1:], duration=40)
    assert 71 in [frame.index for frame in frames_of(body, media_type)]


@pytest.mark.parametrize("ink", [(255, 255, 255, 255), (0, 0, 0, 255)])
def test_what_differs_only_over_one_background_is_found(ink: tuple[int, int, int, int]) -> None:
    frames = [Image.new("RGBA", (64, 64), (0, 0, 0, 0)) for _ in range(60)]
    for step, frame in enumerate(frames):
        frame.putpixel((step, 0), (9, 9, 9, 255))  # else the encoder would join them
    frames[33].paste(ink, (16, 16, 48, 48))
    body = encode(frames[0], "image/webp", save_all=True, append_images=frames[1:], duration=40, lossless=True)
    assert 33 in [frame.index for frame in frames_of(body, "image/webp")]


@pytest.mark.parametrize("media_type", ANIMATED)
def test_an_animation_that_breaks_off_between_the_chosen_frames_is_undecodable(media_type: str) -> None:
    body = encode(moving(0), media_type, save_all=True, append_images=[moving(step) for step in range(1, 60)])
    with pytest.raises(UndecodableError):
        frames_of(body[: int(len(body) * 0.9)], media_type)


def test_the_deadline_is_asked_before_each_frame() -> None:
    asked = itertools.count()
    body = animation(list(range(0, 250, 5)), "image/gif")
    with pytest.raises(DeadlineExceededError):
        sample_frames(
            lambda: open_picture(body, "image/gif", MediaLimits()),
            MediaLimits(),
            Deadline(20.5, clock=lambda: float(next(asked))),
        )


@pytest.mark.parametrize("media_type", ["image/gif", "image/webp", "image/avif", "image/png"])
def test_a_short_animation_is_seen_whole(media_type: str) -> None:
    frames = frames_of(animation([0, 120, 240], media_type), media_type)
    assert [frame.index for frame in frames] == [0, 1, 2]


def test_both_pictures_of_a_stereo_jpeg_are_seen() -> None:
    written = io.BytesIO()
    Image.new("RGB", (32, 32), RED).save(
        written, "MPO", save_all=True, append_images=[Image.new("RGB", (32, 32), BLUE)]
    )
    first, second = pixels_of(written.getvalue(), "image/jpeg")
    np.testing.assert_allclose([first[9, 9].astype(int), second[9, 9].astype(int)], [RED, BLUE], atol=6)


def gif(*frame_sides_px: int) -> bytes:
    """A GIF of square frames that hold next to no data, on a screen of 4x4: each may claim any size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    image = (b"\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x4c\x01\x00" for side in frame_sides_px)
    return screen + b"".join(image) + b";"


@pytest.mark.parametrize("side_px", [7000, 20_000, 65_535])
def test_a_later_frame_may_not_be_larger_than_the_limit(side_px: int) -> None:
    with pytest.raises(TooLargeError):
        frames_of(gif(1, side_px, 1), "image/gif")


def test_not_even_a_frame_that_the_sample_leaves_out() -> None:
    with pytest.raises(TooLargeError):
        frames_of(gif(1, 7000, 1), "image/gif", MediaLimits(max_frames=2))


@pytest.mark.parametrize("side_px", [7000, 30_000])
def test_nor_may_the_second_picture_of_a_stereo_jpeg(side_px: int) -> None:
    written = io.BytesIO()
    Image.new("RGB", (8, 8)).save(written, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    body = bytearray(written.getvalue())
    size_at = body.rfind(b"\xff\xc0") + 5  # after the marker, the segment's length and the precision
    body[size_at : size_at + 4] = struct.pack(">HH", side_px, side_px)
    with pytest.raises(TooLargeError):
        frames_of(bytes(body), "image/jpeg")
