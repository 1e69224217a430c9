"""Files made to stop us, each with the answer that it gets."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from pillow_jxl import JpegXLImagePlugin  # noqa: F401 - teaches Pillow to write JPEG XL

from serve_app.domain import (
    Deadline,
    PictwardenError,
    TooLargeError,
    TruncatedError,
    UndecodableError,
    UnsupportedError,
    Views,
)
from serve_app.media import MediaLimits, preprocess
from serve_app.media.decoder_plugins import register_decoders
from serve_app.media.parsers.jxl import read_header

register_decoders()
NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
SIZE_PX = 16
LONGEST_S = 5.0
"""What the slowest of these may take on a slow and busy core. Most take milliseconds."""


def look(body: bytes, limits: MediaLimits | None = None) -> Views:
    return preprocess(body, SIZE_PX, limits or MediaLimits(), NO_HURRY)


def encode(picture: Image.Image, pillow_format: str, **options: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, pillow_format, **options)
    return written.getvalue()


TEAL = Image.new("RGB", (16, 16), "teal")


# PNG


def chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


def png(width_px: int, height_px: int, pixels: bytes, *extra: bytes) -> bytes:
    """An 8-bit grey PNG of any claims; ``extra`` chunks stand before the pixels."""
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0)
    ends = chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + ends


def zeros_compressed(mebibytes: int) -> bytes:
    squeezer = zlib.compressobj(9)
    mebibyte = bytes(1 << 20)
    return b"".join(squeezer.compress(mebibyte) for _ in range(mebibytes)) + squeezer.flush()


EIGHT_ROWS = bytes(8 * 9)


def png_with_far_more_pixels_than_it_says() -> bytes:
    return png(8, 8, bytes(60 << 20))


def png_with_a_text_bomb() -> bytes:
    return png(8, 8, EIGHT_ROWS, chunk(b"zTXt", b"Comment\x00\x00" + zeros_compressed(200)))


def png_with_an_international_text_bomb() -> bytes:
    return png(8, 8, EIGHT_ROWS, chunk(b"iTXt", b"Comment\x00\x01\x00\x00\x00" + zeros_compressed(200)))


def png_with_a_thousand_small_text_bombs() -> bytes:
    return png(8, 8, EIGHT_ROWS, *[chunk(b"zTXt", b"Comment\x00\x00" + zeros_compressed(1))] * 1000)


def png_with_a_profile_bomb() -> bytes:
    return png(8, 8, EIGHT_ROWS, chunk(b"iCCP", b"profile\x00\x00" + zeros_compressed(200)))


def apng(frames: int, *that_it_says: int) -> bytes:
    """Frames of 8x8 grey pixels, and as many chunks that state their number as are wanted."""
    placed = struct.pack(">IIIIHHBB", 8, 8, 0, 0, 1, 10, 0, 0)
    controls = [chunk(b"acTL", struct.pack(">II", said, 0)) for said in that_it_says]
    first = png(8, 8, EIGHT_ROWS, *controls, chunk(b"fcTL", struct.pack(">I", 0) + placed))
    later = b""
    for number in range(1, 2 * frames - 1, 2):
        later += chunk(b"fcTL", struct.pack(">I", number) + placed)
        later += chunk(b"fdAT", struct.pack(">I", number + 1) + zlib.compress(EIGHT_ROWS))
    end = chunk(b"IEND", b"")
    return first.removesuffix(end) + later + end


# GIF


def gif(*blocks: bytes, screen_px: tuple[int, int] = (4, 4), trailer: bytes = b";") -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", *screen_px, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    return screen + b"".join(blocks) + trailer


def gif_image(side_px: int) -> bytes:
    """A frame that claims a size and holds one pixel."""
    return b"\x2c" + struct.pack("<HHHHB", 0, 0, side_px, side_px, 0) + b"\x02\x02\x4c\x01\x00"


def gif_of_endless_comments() -> bytes:
    return gif(b"\x21\xfe" + b"\x01x" * 1_000_000 + b"\x00", gif_image(1))


# TIFF


def tiff_of_pages(count: int, then_back_to: int) -> bytes:
    """Directories of one pixel each, the last of which points back to another, or nowhere (0)."""
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries += [(278, 3, 1, 1), (279, 4, 1, 1)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    length = len(directory) + 4
    first = 10
    links = [first + page * length for page in range(1, count)] + [then_back_to]
    return b"II*\x00" + struct.pack("<IH", first, 0) + b"".join(directory + struct.pack("<I", link) for link in links)


def tiff_of_a_size(width_px: int, height_px: int) -> bytes:
    body = bytearray(encode(TEAL, "TIFF"))
    directory = struct.unpack_from("<I", body, 4)[0]
    for entry in range(struct.unpack_from("<H", body, directory)[0]):
        at = directory + 2 + 12 * entry
        tag = struct.unpack_from("<H", body, at)[0]
        if tag in (256, 257):
            struct.pack_into("<HII", body, at + 2, 4, 1, width_px if tag == 256 else height_px)
    return bytes(body)


# The others


def jpeg_of_a_size(width_px: int, height_px: int, **options: object) -> bytes:
    body = bytearray(encode(TEAL, "JPEG", **options))
    at = max(body.find(b"\xff\xc0"), body.find(b"\xff\xc2")) + 5  # behind the marker, the length and the precision
    struct.pack_into(">HH", body, at, height_px, width_px)
    return bytes(body)


def jpeg_of_scans(count: int) -> bytes:
    body = encode(TEAL, "JPEG", progressive=True)
    last_scan = body.rfind(b"\xff\xda")
    return body[:last_scan] + body[last_scan:-2] * count + b"\xff\xd9"


def jpeg_cut_and_closed_again() -> bytes:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    body = encode(noise, "JPEG")
    return body[: len(body) // 2] + b"\xff\xd9"


def webp_of_canvas(width_px: int, height_px: int) -> bytes:
    canvas = b"VP8X" + (10).to_bytes(4, "little") + b"\x02\x00\x00\x00"
    canvas += (width_px - 1).to_bytes(3, "little") + (height_px - 1).to_bytes(3, "little")
    content = b"WEBP" + canvas + b"ANIM" + (6).to_bytes(4, "little") + bytes(6)
    return b"RIFF" + len(content).to_bytes(4, "little") + content


def bmp_of_a_size(width_px: int, height_px: int) -> bytes:
    body = bytearray(encode(TEAL, "BMP"))
    struct.pack_into("<ii", body, 18, width_px, height_px)
    return bytes(body)


def iso_of_a_size(pillow_format: str, width_px: int, height_px: int, picture: Image.Image | None = None) -> bytes:
    """The size in the container is changed, that of the coded picture (64 x 64) is not."""
    body = bytearray(encode(picture or Image.new("RGB", (64, 64), "teal"), pillow_format))
    at = body.find(b"ispe")
    while at >= 0:
        struct.pack_into(">II", body, at + 8, width_px, height_px)
        at = body.find(b"ispe", at + 1)
    return bytes(body)


def jxl(*fields: tuple[int, int]) -> bytes:
    """A JPEG XL of nothing but header fields: value and how many bits it takes."""
    number, at = 0, 0
    for value, bits in fields:
        number |= value << at
        at += bits
    return b"\xff\x0a" + number.to_bytes(at // 8 + 1, "little") + bytes(40)


HUGE_SIDE = ((3, 2), ((1 << 30) - 1, 30))
EIGHT_BY_EIGHT = ((1, 1), (0, 5), (1, 3))
EXTRA_FIELDS = ((0, 1), (1, 1), (0, 3), (0, 1), (0, 1))
EIGHT_BITS = ((0, 1), (0, 2), (0, 1))


def jxl_of_two_to_the_sixty_pixels() -> bytes:
    return jxl((0, 1), *HUGE_SIDE, (0, 3), *HUGE_SIDE, (1, 1))


def jxl_animation() -> bytes:
    return jxl(*EIGHT_BY_EIGHT, *EXTRA_FIELDS, (1, 1), (0, 2), (0, 2), (0, 2), (0, 1), *EIGHT_BITS, (0, 2))


def jxl_with_4096_channels() -> bytes:
    return jxl(*EIGHT_BY_EIGHT, (0, 1), (0, 1), *EIGHT_BITS, (3, 2), (4095, 12))


def jxl_with_black_ink() -> bytes:
    return jxl(*EIGHT_BY_EIGHT, (0, 1), (0, 1), *EIGHT_BITS, (1, 2), (0, 1), (2, 2), (2, 4))


def jxl_container(*boxes: tuple[bytes, bytes]) -> bytes:
    body = b"\x00\x00\x00\x0cJXL \r\n\x87\n\x00\x00\x00\x14ftypjxl \x00\x00\x00\x00jxl "
    return body + b"".join((8 + len(content)).to_bytes(4, "big") + kind + content for kind, content in boxes)


HOSTILE: dict[str, tuple[Callable[[], bytes], type[PictwardenError]]] = {
    "png: 0x8": (lambda: png(0, 8, b""), UndecodableError),
    "png: 2^31 x 2^31": (lambda: png(2**31 - 1, 2**31 - 1, b""), TooLargeError),
    "png: a chunk longer than the file": (
        lambda: b"\x89PNG\r\n\x1a\n\x7f\xff\xff\xffIHDR" + bytes(40),
        TruncatedError,
    ),
    "gif: no frame": (gif, UndecodableError),
    "gif: a screen of 0x0": (lambda: gif(gif_image(0), screen_px=(0, 0)), UndecodableError),
    "gif: 65535 x 65535 and one pixel": (lambda: gif(gif_image(65_535)), TooLargeError),
    "gif: a million frames": (lambda: gif(*[gif_image(1)] * 1_000_000), TooLargeError),
    "gif: no trailer": (lambda: gif(gif_image(1), trailer=b""), TruncatedError),
    "gif: nothing behind the header": (lambda: b"GIF89a", TruncatedError),
    "webp: a canvas of 16384 x 16384": (lambda: webp_of_canvas(16_384, 16_384), TooLargeError),
    "webp: an animation without a frame": (lambda: webp_of_canvas(8, 8), UndecodableError),
    "webp: a kind that is not known": (lambda: b"RIFF\x20\x00\x00\x00WEBPVP9X" + bytes(40), UndecodableError),
    "tiff: 100000 pages": (lambda: tiff_of_pages(100_000, then_back_to=0), TooLargeError),
    "tiff: 0x0": (lambda: tiff_of_a_size(0, 0), UndecodableError),
    "tiff: 10000 x 10000 of no data": (lambda: tiff_of_a_size(10_000, 10_000), TooLargeError),
    "tiff: 32 x 32 of the data of 16 x 16": (lambda: tiff_of_a_size(32, 32), UndecodableError),
    "jpeg: 0x16": (lambda: jpeg_of_a_size(0, 16), UndecodableError),
    "jpeg: 65500 x 65500": (lambda: jpeg_of_a_size(65_500, 65_500), TooLargeError),
    "jpeg: 65500 x 65500, progressive": (lambda: jpeg_of_a_size(65_500, 65_500, progressive=True), TooLargeError),
    "jpeg: a thousand scans": (lambda: jpeg_of_scans(1000), TooLargeError),
    "bmp: 2^31 x 2^31": (lambda: bmp_of_a_size(2**31 - 1, 2**31 - 1), TooLargeError),
    "bmp: 0x16": (lambda: bmp_of_a_size(0, 16), UndecodableError),
    "bmp: more rows than it has": (lambda: bmp_of_a_size(16, 64), TruncatedError),
    "avif: 30000 x 30000 in the container": (lambda: iso_of_a_size("AVIF", 30_000, 30_000), TooLargeError),
    "avif: an animation that does not say so": (
        lambda: encode(TEAL, "AVIF") + b"\x00\x00\x00\x08moov",
        UndecodableError,
    ),
    "heic: half the size in the container": (lambda: iso_of_a_size("HEIF", 32, 32), UndecodableError),
    "heic: 30000 x 30000 in the container": (lambda: iso_of_a_size("HEIF", 30_000, 30_000), TooLargeError),
    "heic: a sequence": (lambda: encode(TEAL, "HEIF") + b"\x00\x00\x00\x08moov", UndecodableError),
    "jpeg xl: 2^30 x 2^30": (jxl_of_two_to_the_sixty_pixels, TooLargeError),
    "jpeg xl: an animation": (jxl_animation, UnsupportedError),
    "jpeg xl: 4096 channels": (jxl_with_4096_channels, UnsupportedError),
    "jpeg xl: black ink": (jxl_with_black_ink, UnsupportedError),
    "jpeg xl: a container of nothing": (jxl_container, TruncatedError),
    "jpeg xl: no last part": (lambda: jxl_container((b"jxlp", bytes(4) + encode(TEAL, "JXL"))), TruncatedError),
    "jpeg xl: a box longer than the file": (
        lambda: jxl_container() + b"\x00\x00\x40\x00jxlc" + encode(TEAL, "JXL"),
        TruncatedError,
    ),
    "jpeg xl: a box that never ends": (lambda: jxl_container() + b"\x00\x00\x00\x02jxlc", UndecodableError),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gets_its_answer_at_once(name: str) -> None:
    make, error = HOSTILE[name]
    body = make()
    began_s = time.process_time()
    with pytest.raises(error):
        look(body)
    assert time.process_time() - began_s < LONGEST_S


HARMLESS: dict[str, Callable[[], bytes]] = {
    "png: 65536x1": lambda: png(65_536, 1, bytes(65_537)),
    "png: 1x65536": lambda: png(1, 65_536, bytes(2 * 65_536)),
    "png: far more pixels than it says": png_with_far_more_pixels_than_it_says,
    "png: a text of 200 MiB": png_with_a_text_bomb,
    "png: an international text of 200 MiB": png_with_an_international_text_bomb,
    "png: a thousand texts of 1 MiB": png_with_a_thousand_small_text_bombs,
    "png: a profile of 200 MiB": png_with_a_profile_bomb,
    "apng: two billion frames": lambda: apng(2, 2**31 - 1),
    "apng: four billion frames": lambda: apng(2, 2**32 - 1),
    "apng: no frame": lambda: apng(2, 0),
    "apng: more frames than it says": lambda: apng(3, 2),
    "apng: fewer frames than it says": lambda: apng(2, 3),
    "apng: two numbers of frames": lambda: apng(2, 2, 2),
    "gif: fewer pixels than it says": lambda: gif(gif_image(64)),
    "apng: the number of frames behind the pixels": lambda: (
        apng(2).removesuffix(chunk(b"IEND", b"")) + chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"IEND", b"")
    ),
    "png: fewer rows than it says": lambda: png(8, 8, EIGHT_ROWS[:-9]),
    "apng: an animation of one frame": lambda: encode(TEAL, "PNG", save_all=True, append_images=[]),
    "avif: twice the size in the container": lambda: iso_of_a_size("AVIF", 128, 128),
    "tiff: pages that go round": lambda: tiff_of_pages(2, then_back_to=10),
    "gif: a million bytes of comment": gif_of_endless_comments,
    "jpeg: cut, with an end marker put behind": jpeg_cut_and_closed_again,
    "gif, then a zip": lambda: gif(gif_image(1), screen_px=(1, 1)) + b"PK\x03\x04" + bytes(100),
    "jpeg, then a page of HTML": lambda: encode(TEAL, "JPEG") + b"<html><script>alert(1)</script>",
    "jpeg xl in parts": lambda: jxl_container(
        (b"jxlp", bytes(4) + encode(TEAL, "JXL")[:9]), (b"jxlp", b"\x80\x00\x00\x01" + encode(TEAL, "JXL")[9:])
    ),
}
"""Odd, and looked at: what any viewer shows of them is what the model is shown.

A JPEG whose pixels break off before an end marker is among them, and a PNG whose compressed data ends, well-formed, too
soon. The decoders fill up with grey or black and tell nobody; but nothing of what is missing is in the file, so that
nobody else will see more of it than the model did.
"""


@pytest.mark.parametrize("name", HARMLESS)
def test_an_odd_file_is_looked_at(name: str) -> None:
    body = HARMLESS[name]()
    began_s = time.process_time()
    assert len(look(body).pixels) >= 1
    assert time.process_time() - began_s < LONGEST_S


@pytest.mark.parametrize("side_px", [16, 32, 128])
def test_an_avif_whose_container_lies_about_its_size_is_scaled_and_not_cropped(side_px: int) -> None:
    picture = Image.new("RGB", (64, 64), "black")
    picture.paste("white", (48, 48, 64, 64))
    (view,) = look(iso_of_a_size("AVIF", side_px, side_px, picture)).pixels
    assert (view[1, 1].max() < 30, view[-2, -2].min() > 225) == (True, True)


def test_a_picture_behind_a_picture_is_not_taken_for_it() -> None:
    black, white = (encode(Image.new("L", (16, 16), grey), "PNG") for grey in (0, 255))
    assert look(black + white).pixels.max() == 0


def test_a_jpeg_xl_shows_its_codestream_and_not_the_jpeg_that_it_may_be_turned_back_into() -> None:
    shown = encode(TEAL, "JXL")
    body = jxl_container((b"jbrd", bytes(60)), (b"jxlc", shown))
    np.testing.assert_array_equal(look(body).pixels, look(shown).pixels)


@pytest.mark.parametrize(("width_px", "height_px"), [(8, 8), (1, 1), (640, 480), (513, 7), (16, 9), (1920, 1080)])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("lossless", [False, True])
def test_the_header_of_a_jpeg_xl_is_read_as_it_was_written(
    width_px: int, height_px: int, mode: str, lossless: bool
) -> None:
    header = read_header(encode(Image.new(mode, (width_px, height_px)), "JXL", effort=1, lossless=lossless))
    assert (header.width_px, header.height_px) == (width_px, height_px)
    assert (header.animated, header.hidden_channels, header.is_premultiplied) == (False, 0, False)
