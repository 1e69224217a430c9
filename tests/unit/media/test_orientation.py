"""Which way up a picture is shown: once where all programs agree, else once per reading."""

from __future__ import annotations

import io
import struct
import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from serve_app.domain import Deadline
from serve_app.domain.limits import MediaLimits
from serve_app.media.decoder_errors import decoding
from serve_app.media.decoder_plugins import register_decoders
from serve_app.media.frames import sample_frames
from serve_app.media.parsers.orientation_tags import honoured_by_all, honoured_by_some
from serve_app.media.pictures import open_picture

register_decoders()
NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
PILLOW_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/heic": "HEIF",
    "image/tiff": "TIFF",
}
HONOURED_BY_SOME = ("image/png", "image/webp", "image/tiff")
CORNERS = {
    1: (RED, GREEN, BLUE, YELLOW),
    2: (GREEN, RED, YELLOW, BLUE),
    3: (YELLOW, BLUE, GREEN, RED),
    4: (BLUE, YELLOW, RED, GREEN),
    5: (RED, BLUE, GREEN, YELLOW),
    6: (BLUE, RED, YELLOW, GREEN),
    7: (YELLOW, GREEN, BLUE, RED),
    8: (GREEN, YELLOW, RED, BLUE),
}


def quadrants() -> Image.Image:
    """48x32: red, green; blue, yellow. Each orientation puts another colour into the top left corner."""
    picture = Image.new("RGB", (48, 32), RED)
    picture.paste(GREEN, (24, 0, 48, 16))
    picture.paste(BLUE, (0, 16, 24, 32))
    picture.paste(YELLOW, (24, 16, 48, 32))
    return picture


def encode(media_type: str, **options: object) -> bytes:
    written = io.BytesIO()
    quadrants().save(written, PILLOW_FORMATS[media_type], quality=95, **options)
    return written.getvalue()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags.tobytes()


def exif_by_hand(*tags: tuple[int, int, int, int], cut: int = 0) -> bytes:
    """Tags of ``(number, kind, count, value)``, and no word about a next directory if ``cut``."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    block = b"Exif\x00\x00II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(tags)) + entries + bytes(4)
    return block[: len(block) - cut]


def xmp(orientation: int) -> bytes:
    return b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>' % orientation


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    written = b"".join(b"\xff\xe1" + (2 + len(each)).to_bytes(2, "big") + each for each in segments)
    return jpeg[:2] + written + jpeg[2:]


def corners_of(body: bytes, media_type: str) -> list[int]:
    """The orientations whose corners the readings have, in ascending order."""
    with decoding(media_type):
        opened = sample_frames(lambda: open_picture(body, media_type, MediaLimits()), MediaLimits(), NO_HURRY)
        readings = [np.asarray(frame.picture).astype(int) for frame in opened.frames]
    found = []
    for pixels in readings:
        corners = [pixels[4, 4], pixels[4, -4], pixels[-4, 4], pixels[-4, -4]]
        distances = {each: np.abs(np.array(corners) - colours).max() for each, colours in CORNERS.items()}
        nearest = min(distances, key=lambda each: distances[each])
        assert distances[nearest] < 30
        assert pixels.shape[:2] == ((32, 48) if nearest <= 4 else (48, 32))
        found.append(nearest)
    return sorted(found)


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/avif", "image/heic"])
@pytest.mark.parametrize("orientation", CORNERS)
def test_a_tag_that_all_honour_turns_the_picture_once(media_type: str, orientation: int) -> None:
    assert corners_of(encode(media_type, exif=exif(orientation)), media_type) == [orientation]


@pytest.mark.parametrize("media_type", HONOURED_BY_SOME)
@pytest.mark.parametrize("orientation", CORNERS)
def test_a_tag_that_some_honour_gives_both_readings(media_type: str, orientation: int) -> None:
    assert corners_of(encode(media_type, exif=exif(orientation)), media_type) == sorted({1, orientation})


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/webp"])
@pytest.mark.parametrize("orientation", CORNERS)
def test_xmp_gives_both_readings(media_type: str, orientation: int) -> None:
    body = encode(media_type) if media_type == "image/png" else encode(media_type, xmp=xmp(orientation))
    if media_type == "image/png":
        text = b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + xmp(orientation)
        body = body[:33] + png_chunk(b"iTXt", text) + body[33:]
    assert corners_of(body, media_type) == sorted({1, orientation})


def png_chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


def test_a_gif_with_xmp_gives_both_readings() -> None:
    written = io.BytesIO()
    quadrants().save(written, "GIF")
    body = written.getvalue()
    end = 13 + (3 << ((body[10] & 7) + 1))
    block = b"\x21\xff\x0bXMP DataXMP" + xmp(6) + b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
    assert corners_of(body[:end] + block + body[end:], "image/gif") == [1, 6]


def test_what_imagemagick_writes_of_exif_into_a_png_gives_both_readings() -> None:
    hexadecimal = b"\nexif\n%8d\n" % len(exif(6)) + exif(6).hex().encode()
    body = encode("image/png")
    body = body[:33] + png_chunk(b"tEXt", b"Raw profile type exif\x00" + hexadecimal) + body[33:]
    assert corners_of(body, "image/png") == [1, 6]


@pytest.mark.parametrize(
    ("segments", "readings"),
    [
        ([exif_by_hand((274, 3, 1, 6))], [6]),
        ([exif_by_hand((274, 3, 1, 6), cut=4)], [6]),
        ([exif_by_hand((274, 4, 1, 6))], [1, 6]),
        ([exif_by_hand((274, 3, 1, 6), (274, 3, 1, 3))], [1, 3, 6]),
        ([exif_by_hand((274, 3, 1, 6), (1, 3, 1, 1), cut=9)], [1, 6]),
        ([exif_by_hand((274, 3, 1, 6)), exif_by_hand((274, 3, 1, 3))], [1, 3, 6]),
        ([exif_by_hand((274, 3, 1, 99))], [1]),
        ([exif_by_hand((1, 3, 1, 1))], [1]),
        ([b"Exif\x00\x00no TIFF at all"], [1]),
        ([exif_by_hand((274, 3, 1, 6)), b"http://ns.adobe.com/xap/1.0/\x00" + xmp(6)], [6]),
        ([exif_by_hand((274, 3, 1, 6)), b"http://ns.adobe.com/xap/1.0/\x00" + xmp(3)], [3, 6]),
    ],
    ids=[
        "sound",
        "sound, without its last word",
        "a number of 32 bits",
        "two tags",
        "cut behind the tag",
        "two blocks",
        "no orientation that there is",
        "another tag",
        "no EXIF",
        "XMP that agrees",
        "XMP that does not",
    ],
)
def test_a_jpegs_odd_exif_gives_each_reading(segments: list[bytes], readings: list[int]) -> None:
    assert corners_of(with_segments(encode("image/jpeg"), *segments), "image/jpeg") == readings


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    block=st.one_of(
        st.binary(max_size=200), st.binary(max_size=60).map(lambda noise: b"II*\x00\x08\x00\x00\x00" + noise)
    ),
    packet=st.binary(max_size=60) | st.integers(0, 99).map(xmp),
)
def test_any_metadata_names_one_reading_at_least(block: bytes, packet: bytes) -> None:
    for orientations in (honoured_by_all([block], [packet]), honoured_by_some([block], [packet])):
        assert orientations
        assert set(orientations) <= set(range(1, 9))
        assert all(one < other for one, other in pairwise(orientations))
