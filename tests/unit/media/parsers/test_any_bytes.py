"""Each parser that we wrote, on bytes that were made to break it: it ends, in its answer or in one of our errors."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pillow_jxl import JpegXLImagePlugin  # noqa: F401 - teaches Pillow to write JPEG XL

from serve_app.domain import UnscannedError
from serve_app.domain.limits import MediaLimits
from serve_app.media.decoder_plugins import register_decoders
from serve_app.media.parsers import MalformedError
from serve_app.media.parsers.bmp import read_bmp
from serve_app.media.parsers.cicp import cicp_of_avif, cicp_of_png, cicp_of_profile
from serve_app.media.parsers.clean_aperture import aperture_of
from serve_app.media.parsers.gif import read_gif, with_whole_blocks
from serve_app.media.parsers.heif_items import (
    data_of,
    is_cut,
    metadata_of,
    primary_item,
    read_items,
    without_alpha,
    without_tracks,
)
from serve_app.media.parsers.hevc import LeadingPictures
from serve_app.media.parsers.jpeg import jpeg_pictures
from serve_app.media.parsers.jxl import codestream_of, read_header
from serve_app.media.parsers.orientation_tags import honoured_by_all, honoured_by_some
from serve_app.media.parsers.png import SIGNATURE, png_chunks, repaired_png
from serve_app.media.parsers.tiff import is_whole_tiff
from serve_app.media.parsers.video_container import alpha_elements, is_whole
from serve_app.media.parsers.webp import completed_webp, is_whole_webp, webp_size

register_decoders()
SLOWEST_S = 2.0
LIMITS = MediaLimits(max_pixels=10_000)


def encoded(pillow_format: str, mode: str = "RGB", frames: int = 1, **options: object) -> bytes:
    noise = np.random.default_rng(1).integers(0, 256, (frames, 24, 32, 4), np.uint8)
    first, *others = (Image.fromarray(each).convert(mode) for each in noise)
    options |= {"save_all": True, "append_images": others} if others else {}
    written = io.BytesIO()
    first.save(written, pillow_format, **options)
    return written.getvalue()


def video(container: str, codec: str) -> bytes:
    written = io.BytesIO()
    with av.open(written, "w", format=container) as output:
        stream = output.add_stream(codec, 10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(2):
            output.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        output.mux(stream.encode(None))
    return written.getvalue()


EXIF = Image.Exif()
EXIF[274] = 6
STILLS = (encoded("AVIF", frames=2), encoded("AVIF", "RGBA"), encoded("HEIF", "RGBA", exif=EXIF.tobytes()))
ISO = (*STILLS, video("mp4", "mpeg4"))
WEBM = (video("webm", "libvpx"),)
JPEGS = (encoded("JPEG", exif=EXIF.tobytes()), encoded("JPEG", progressive=True), encoded("MPO", frames=2))
PNGS = (encoded("PNG", "RGBA", exif=EXIF.tobytes()), encoded("PNG", "P", frames=2))
WEBPS = (encoded("WEBP"), encoded("WEBP", "RGBA", lossless=True), encoded("WEBP", frames=2))
TIFFS = (encoded("TIFF"), encoded("TIFF", frames=2, compression="tiff_lzw"))
HVCC = bytes([1]) + bytes(20) + b"\x03"

PARSERS: dict[str, tuple[tuple[bytes, ...], Callable[[bytes], object]]] = {
    "BMP": ((encoded("BMP"), encoded("BMP", "P")), lambda body: list(read_bmp(body, 10_000).bands)),
    "BMP, cut": ((encoded("BMP"),), lambda body: list(read_bmp(body, 10_000, is_lenient=True).bands)),
    "GIF": ((encoded("GIF", "P", frames=3),), lambda body: read_gif(body, LIMITS)),
    "GIF, sub-blocks": ((encoded("GIF", "P"),), lambda body: with_whole_blocks(body or b"\x00")),
    "PNG": (PNGS, repaired_png),
    "PNG, cut": (PNGS, lambda body: repaired_png(body, is_lenient=True)),
    "PNG, chunks": (PNGS, lambda body: list(png_chunks(body, is_lenient=True))),
    "PNG, colours": (PNGS, cicp_of_png),
    "JPEG": (JPEGS, lambda body: jpeg_pictures(body, 4)),
    "JPEG, cut": (JPEGS, lambda body: jpeg_pictures(body, 4, is_lenient=True)),
    "WebP": (WEBPS, webp_size),
    "WebP, its end": (WEBPS, is_whole_webp),
    "WebP, cut": (WEBPS, completed_webp),
    "TIFF": (TIFFS, is_whole_tiff),
    "EXIF": (
        (EXIF.tobytes(), *TIFFS),
        lambda body: honoured_by_all([body], [body]) + honoured_by_some([body], [body]),
    ),
    "HEIF": (STILLS, lambda body: [data_of(body, item.pieces) for item in read_items(body).items.values()]),
    "HEIF, metadata": (ISO, metadata_of),
    "HEIF, its end": (ISO, is_cut),
    "HEIF, without alpha": (ISO, without_alpha),
    "HEIF, without tracks": (ISO, without_tracks),
    "HEIF, aperture": (ISO, lambda body: aperture_of(primary_item(body))),
    "HEIF, colours": (ISO, cicp_of_avif),
    "MP4": (ISO, lambda body: is_whole(body, "video/mp4")),
    "WebM": (WEBM, lambda body: (is_whole(body, "video/webm"), alpha_elements(body))),
    "JPEG XL": (
        (encoded("JXL", effort=1), encoded("JXL", effort=1, use_container=True)),
        lambda body: read_header(codestream_of(body)),
    ),
    "colour profile": ((bytes(128) + b"\0\0\0\1cicp" + bytes(16),), cicp_of_profile),
    "HEVC": ((b"\0\0\0\2\x26\x01\0\0\0\2\x10\x01",), lambda body: LeadingPictures(HVCC).is_skipped(body)),
}

ODD = st.one_of(st.binary(max_size=9), st.sampled_from((bytes(4), b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff")))


def mutated(data: st.DataObject, body: bytes) -> bytes:
    """Numbers written over, pieces taken out, the end cut off: mostly where the headers are."""
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(0, 4), "changes")):
        at = data.draw(st.one_of(st.integers(0, min(200, len(changed))), st.integers(0, len(changed))), "at")
        if data.draw(st.booleans(), "takes out"):
            del changed[at : at + data.draw(st.integers(0, 40), "bytes")]
        else:
            odd = data.draw(ODD, "odd")
            changed[at : at + len(odd)] = odd
    return bytes(changed[: data.draw(st.one_of(st.none(), st.integers(0, len(changed))), "cut at")])


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_it_answers_or_raises_one_of_our_errors(name: str, data: st.DataObject) -> None:
    seeds, parse = PARSERS[name]
    seed = data.draw(st.sampled_from(seeds), "seed")
    body = mutated(data, seed) if data.draw(st.booleans(), "mutated") else data.draw(st.binary(), "any")
    began_s = time.process_time()
    with contextlib.suppress(MalformedError, UnscannedError):
        parse(body)
    assert time.process_time() - began_s < SLOWEST_S


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_mutated_can_be_read_at_first(name: str) -> None:
    seeds, parse = PARSERS[name]
    for seed in seeds:
        parse(seed)


def test_a_png_is_read_from_its_signature_on() -> None:
    assert all(png.startswith(SIGNATURE) for png in PNGS)
