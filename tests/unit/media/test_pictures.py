"""The header is believed only within limits, and whatever a decoder stumbles over has one name."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from pillow_jxl import JpegXLImagePlugin  # noqa: F401 - teaches Pillow to write JPEG XL

from serve_app.domain import TooLargeError, TruncatedError, UndecodableError, UnsupportedError
from serve_app.domain.limits import MediaLimits
from serve_app.media.decoder_errors import decoding
from serve_app.media.decoder_plugins import register_decoders
from serve_app.media.pictures import open_picture, shrink_on_load

from .pictures import PILLOW_FORMATS, encode

LIMITS = MediaLimits()
PAGED = {"image/tiff": "TIFF", "image/heic": "HEIF"}
register_decoders()


def png_header(width_px: int, height_px: int) -> bytes:
    """A PNG that promises RGB pixels of this size, and holds none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("media_type", PILLOW_FORMATS)
def test_opening_reads_the_size_of_every_format(media_type: str) -> None:
    body = encode(Image.new("RGB", (48, 32), "teal"), media_type)
    assert open_picture(body, media_type, LIMITS).size == (48, 32)


@pytest.mark.parametrize("media_type", PILLOW_FORMATS)
def test_the_limit_on_pixels_is_inclusive(media_type: str) -> None:
    body = encode(Image.new("RGB", (48, 32), "teal"), media_type)
    open_picture(body, media_type, MediaLimits(max_pixels=48 * 32))
    with pytest.raises(TooLargeError, match="48x32 pixels are more than 1535"):
        open_picture(body, media_type, MediaLimits(max_pixels=48 * 32 - 1))


@pytest.mark.parametrize("size", [(8000, 5001), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_header_that_promises_too_much_is_refused_unread(size: tuple[int, int]) -> None:
    # The body holds not one pixel: had any been decoded, it would be undecodable.
    with pytest.raises(TooLargeError):
        open_picture(png_header(*size), "image/png", LIMITS)


@pytest.mark.parametrize("media_type", ["image/gif", "image/webp", "image/avif", "image/png"])
def test_too_many_frames_are_refused(media_type: str) -> None:
    frames = [Image.new("RGB", (16, 16), (60 * step, 0, 0)) for step in range(4)]
    body = encode(frames[0], media_type, save_all=True, append_images=frames[1:], duration=50)
    open_picture(body, media_type, MediaLimits(max_frames_total=4))
    with pytest.raises(TooLargeError, match="4 frames are more than 3"):
        open_picture(body, media_type, MediaLimits(max_frames_total=3))


def pages(media_type: str, count: int) -> bytes:
    written = io.BytesIO()
    rest = [Image.new("RGB", (32, 32), (0, 60 * page, 0)) for page in range(1, count)]
    Image.new("RGB", (32, 32)).save(written, PAGED[media_type], save_all=True, append_images=rest)
    return written.getvalue()


@pytest.mark.parametrize("media_type", PAGED)
def test_there_may_be_no_more_pages_than_are_looked_at(media_type: str) -> None:
    # Of an animation's frames a sample is seen. Each page may be a picture of its own.
    assert getattr(open_picture(pages(media_type, 3), media_type, MediaLimits(max_frames=3)), "n_frames", 0) == 3
    with pytest.raises(TooLargeError, match="more"):
        open_picture(pages(media_type, 4), media_type, MediaLimits(max_frames=3))


def test_a_heif_is_opened_at_its_first_picture_and_not_at_its_primary_one() -> None:
    written = io.BytesIO()
    pictures = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime")]
    pictures[0].save(written, "HEIF", save_all=True, append_images=pictures[1:], primary_index=1)
    picture = open_picture(written.getvalue(), "image/heic", LIMITS)
    red, green, _ = np.asarray(picture.convert("RGB"))[9, 9]
    assert (picture.tell(), red > 200, green < 50) == (0, True, True)


@pytest.mark.parametrize("tag", [330, 50706], ids=["SubIFDs", "DNGVersion"])
def test_a_tiff_with_pictures_inside_its_pages_is_refused(tag: int) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[tag] = 4
    tags[tag] = 8
    with pytest.raises(UnsupportedError, match="pictures inside its pages"):
        open_picture(encode(Image.new("RGB", (8, 8)), "image/tiff", tiffinfo=tags), "image/tiff", LIMITS)


def test_a_type_that_is_no_picture_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="video/mp4"):
        open_picture(b"", "video/mp4", LIMITS)


@pytest.mark.parametrize("media_type", PILLOW_FORMATS)
def test_bytes_of_one_type_are_not_read_as_another(media_type: str) -> None:
    other = "image/png" if media_type != "image/png" else "image/gif"
    with pytest.raises((UndecodableError, TruncatedError), match=media_type):
        open_picture(encode(Image.new("RGB", (8, 8)), other), media_type, LIMITS)


@pytest.mark.parametrize(
    ("size", "scaled"),
    [
        ((1024, 640), (128, 80)),  # 1/8: the most that a JPEG can do
        ((512, 512), (64, 64)),
        ((511, 511), (128, 128)),  # 1/8 would leave 63: 1/4
        ((4000, 100), (4000, 100)),
        ((40, 30), (40, 30)),
    ],
)
def test_a_jpeg_is_shrunk_only_while_its_shorter_side_stays_long_enough(
    size: tuple[int, int], scaled: tuple[int, int]
) -> None:
    picture = open_picture(encode(Image.new("RGB", size, "teal"), "image/jpeg"), "image/jpeg", LIMITS)
    assert shrink_on_load(picture, 64) == (scaled != size)
    picture.load()
    assert picture.size == scaled


@pytest.mark.parametrize("media_type", [each for each in PILLOW_FORMATS if each != "image/jpeg"])
def test_other_formats_are_not_shrunk(media_type: str) -> None:
    picture = open_picture(encode(Image.new("RGB", (512, 512), "teal"), media_type), media_type, LIMITS)
    assert not shrink_on_load(picture, 64)
    assert picture.size == (512, 512)


@pytest.mark.parametrize(
    "error",
    [OSError, SyntaxError, ValueError, struct.error, IndexError, MemoryError, AssertionError, ZeroDivisionError],
)
def test_what_a_decoder_raises_becomes_one_error_without_its_text(error: type[Exception]) -> None:
    with pytest.raises(UndecodableError) as caught, decoding("image/png"):
        raise error("text of a library, with who knows what in it")
    assert str(caught.value) == "not a readable image/png"


def test_the_decoders_own_bomb_alarm_is_too_large() -> None:
    with pytest.raises(TooLargeError), decoding("image/gif"):
        raise Image.DecompressionBombError


def test_our_own_errors_pass() -> None:
    with pytest.raises(UnsupportedError), decoding("image/png"):
        raise UnsupportedError("as it is")
