"""A file that is cut anywhere is undecodable, unless the cut took no pixel with it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from pillow_jxl import JpegXLImagePlugin  # noqa: F401 - teaches Pillow to write JPEG XL

from serve_app.domain import Deadline, TruncatedError, UndecodableError, UnsupportedError, Views
from serve_app.media import MediaLimits, preprocess
from serve_app.media.decoders import register_decoders

register_decoders()
NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
SIZE_PX = 16

WITHOUT_PIXELS_BYTES = {"PNG": 22, "TIFF": 16}
"""How many bytes at the end of our samples carry no pixel. PNG: the end of the compressed data, two checksums and the
IEND chunk. TIFF: the last tags of the last page, which the decoder does without. Elsewhere every byte is needed."""

STILLS = {
    "avif": ("AVIF", {}),
    "bmp": ("BMP", {}),
    "gif": ("GIF", {}),
    "gif, interlaced": ("GIF", {"interlace": 1}),
    "heic": ("HEIF", {}),
    "jpeg": ("JPEG", {}),
    "jpeg, progressive": ("JPEG", {"progressive": True}),
    "jpeg xl": ("JXL", {"effort": 1}),
    "jpeg xl, lossless": ("JXL", {"effort": 1, "lossless": True}),
    "jpeg xl, container": ("JXL", {"effort": 1, "use_container": True}),
    "png": ("PNG", {}),
    "tiff": ("TIFF", {}),
    "tiff, deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "tiff, jpeg": ("TIFF", {"compression": "jpeg"}),
    "tiff, lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "webp": ("WEBP", {}),
    "webp, lossless": ("WEBP", {"lossless": True}),
}
OF_SEVERAL_PICTURES = {
    "apng": ("PNG", {}),
    "apng, default image apart": ("PNG", {"default_image": True}),
    "avif": ("AVIF", {}),
    "gif": ("GIF", {}),
    "heic": ("HEIF", {}),
    "mpo": ("MPO", {}),
    "tiff": ("TIFF", {}),
    "tiff, deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "webp": ("WEBP", {}),
    "webp, lossless": ("WEBP", {"lossless": True}),
}


def noise(seed: int) -> Image.Image:
    """A picture of which no part repeats another, so that whatever is missing shows."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 40, 3), np.uint8))


def still(pillow_format: str, options: dict[str, object]) -> bytes:
    written = io.BytesIO()
    noise(0).save(written, pillow_format, **options)
    return written.getvalue()


def of_several_pictures(pillow_format: str, options: dict[str, object]) -> bytes:
    written = io.BytesIO()
    noise(0).save(written, pillow_format, save_all=True, append_images=[noise(1), noise(2)], **options)
    return written.getvalue()


BODIES = {name: (kind, still(kind, options)) for name, (kind, options) in STILLS.items()} | {
    f"{name}, several": (kind, of_several_pictures(kind, options))
    for name, (kind, options) in OF_SEVERAL_PICTURES.items()
}


def look(body: bytes) -> Views:
    return preprocess(body, SIZE_PX, MediaLimits(), NO_HURRY)


@pytest.mark.parametrize("name", BODIES)
def test_the_samples_are_whole(name: str) -> None:
    views = look(BODIES[name][1])
    assert views.frames_seen == views.frames_total == (3 if "several" in name else 1)


@pytest.mark.parametrize("name", BODIES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_cut_file_is_undecodable_or_lost_no_pixel(name: str, data: st.DataObject) -> None:
    kind, body = BODIES[name]
    end = data.draw(st.integers(1, len(body) - 1) | st.integers(len(body) - 40, len(body) - 1))
    assert_undecodable_or_whole(kind, body, end)


@pytest.mark.parametrize("name", BODIES)
def test_the_last_bytes_are_missed_too(name: str) -> None:
    kind, body = BODIES[name]
    for end in range(len(body) - 20, len(body)):
        assert_undecodable_or_whole(kind, body, end)


def assert_undecodable_or_whole(kind: str, body: bytes, end: int) -> None:
    try:
        views = look(body[:end])
    except (TruncatedError, UndecodableError, UnsupportedError):
        return
    assert len(body) - end <= WITHOUT_PIXELS_BYTES.get(kind, 0)
    np.testing.assert_array_equal(views.pixels, look(body).pixels)


def test_pillow_is_not_told_to_be_lenient() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_gif_that_was_cut_between_two_frames_is_undecodable() -> None:
    # What is left is whole, and only the trailer tells that there was more.
    frames = [noise(seed) for seed in range(3)]
    two, three = io.BytesIO(), io.BytesIO()
    frames[0].save(two, "GIF", save_all=True, append_images=frames[1:2], loop=0)
    frames[0].save(three, "GIF", save_all=True, append_images=frames[1:], loop=0)
    cut = three.getvalue()[: len(two.getvalue()) - 1]
    assert two.getvalue() == cut + b";"
    with pytest.raises(UndecodableError):
        look(cut)
