"""A file whose end is missing is refused as truncated, or scanned as far as it goes, as the setting says."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from pillow_jxl import JpegXLImagePlugin  # noqa: F401 - teaches Pillow to write JPEG XL

from serve_app.domain import Deadline, OnTruncated, TruncatedError, UndecodableError, UnsupportedError, Views
from serve_app.media import MediaLimits, preprocess
from serve_app.media.decoder_plugins import register_decoders

register_decoders()
NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
SIZE_PX = 16
TIFF_PADDING_BYTES = 16
LONGEST_SIGNATURE_BYTES = 18
"""Of the types whose cut files we find: a BMP is one by its second header."""
END_OF_JPEG = b"\xff\xd9"

LIBRARY_FINDS_CUT = ("AVIF", "HEIF", "JXL")
"""Types whose cut files their libraries find, and cannot tell from other damage."""

STILLS: dict[str, tuple[str, dict[str, object]]] = {
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
OF_SEVERAL_PICTURES: dict[str, tuple[str, dict[str, object]]] = {
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


BY_US = [name for name, (kind, _) in BODIES.items() if kind not in LIBRARY_FINDS_CUT]


def look(body: bytes, on_truncated: OnTruncated = OnTruncated.REFUSE) -> Views:
    return preprocess(body, SIZE_PX, MediaLimits(), NO_HURRY, on_truncated)


@pytest.mark.parametrize("name", BODIES)
def test_the_samples_are_whole(name: str) -> None:
    views = look(BODIES[name][1])
    assert views.frames_seen == views.frames_total == (3 if "several" in name else 1)


@pytest.mark.parametrize("name", BODIES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_part_of_a_file_is_taken_for_all_of_it(name: str, data: st.DataObject) -> None:
    kind, body = BODIES[name]
    end = data.draw(st.integers(1, len(body) - 1) | st.integers(len(body) - 40, len(body) - 1))
    assert_refused(kind, body, end)


@pytest.mark.parametrize("name", BODIES)
def test_the_last_bytes_are_missed_too(name: str) -> None:
    kind, body = BODIES[name]
    for end in range(len(body) - 20, len(body)):
        assert_refused(kind, body, end)


def assert_refused(kind: str, body: bytes, end: int) -> None:
    """The bytes of one type are refused as truncated as soon as their type can be told."""
    if kind == "MPO" and body[:end].endswith(END_OF_JPEG):
        return  # cut between two pictures: nobody can tell it from a file whose further pictures were taken out
    if kind == "TIFF" and len(body) - end <= TIFF_PADDING_BYTES:
        return  # where Pillow appends a page, it leaves some bytes behind the last one
    with pytest.raises((TruncatedError, UnsupportedError, UndecodableError)) as caught:
        look(body[:end])
    if kind not in LIBRARY_FINDS_CUT and end >= LONGEST_SIGNATURE_BYTES:
        assert caught.type is TruncatedError


# A compressed TIFF's directory stands behind its pixels: without it there is nothing to show.
@pytest.mark.parametrize("name", [name for name in BY_US if "tiff," not in name])
def test_what_there_is_of_a_cut_file_is_scanned(name: str) -> None:
    kind, body = BODIES[name]
    views = look(body[: int(len(body) * 0.95)], OnTruncated.SCAN)
    assert views.is_truncated
    # BMP begins with the last row, all others with the first.
    part = slice(8, 14) if kind == "BMP" else slice(1, 7)
    whole = look(body).pixels[0][part].astype(int)
    assert np.abs(views.pixels[0][part].astype(int) - whole).mean() < (60 if "progressive" in name else 8)


@pytest.mark.parametrize("name", [name for name in BY_US if "several" in name and "tiff" not in name])
def test_the_frames_ahead_of_a_cut_are_scanned(name: str) -> None:
    _, body = BODIES[name]
    cut, whole = look(body[: int(len(body) * 0.8)], OnTruncated.SCAN), look(body)
    ahead = [place.frame < 2 for place in whole.places]
    assert cut.places[: sum(ahead)] == whole.places[: sum(ahead)]
    np.testing.assert_array_equal(cut.pixels[: sum(ahead)], whole.pixels[ahead])


@pytest.mark.parametrize("name", BY_US)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_cut_file_is_scanned_or_has_nothing_to_show(name: str, data: st.DataObject) -> None:
    kind, body = BODIES[name]
    end = data.draw(st.integers(LONGEST_SIGNATURE_BYTES, len(body) - 1))
    try:
        views = look(body[:end], OnTruncated.SCAN)
    except TruncatedError:
        return
    assert views.is_truncated or kind in ("MPO", "TIFF")
    assert len(views.pixels) == len(views.places) >= 1


@pytest.mark.parametrize("name", BY_US)
def test_a_whole_file_is_the_same_in_both_settings(name: str) -> None:
    _, body = BODIES[name]
    views = look(body, OnTruncated.SCAN)
    assert not views.is_truncated
    np.testing.assert_array_equal(views.pixels, look(body).pixels)


@pytest.mark.parametrize("name", BY_US)
def test_a_file_that_ends_before_its_first_pixel_is_truncated_in_both_settings(name: str) -> None:
    _, body = BODIES[name]
    for setting in OnTruncated:
        with pytest.raises(TruncatedError):
            look(body[:LONGEST_SIGNATURE_BYTES], setting)


def test_other_damage_is_not_taken_for_a_cut() -> None:
    _, body = BODIES["png"]
    at = body.index(b"IHDR") + 8
    damaged = body[:at] + b"\xff" + body[at + 1 :]
    for setting in OnTruncated:
        with pytest.raises(UndecodableError):
            look(damaged, setting)


def test_pillow_is_not_told_to_be_lenient() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_gif_that_was_cut_between_two_frames_is_truncated() -> None:
    # What is left is whole, and only the trailer tells that there was more.
    frames = [noise(seed) for seed in range(3)]
    two, three = io.BytesIO(), io.BytesIO()
    frames[0].save(two, "GIF", save_all=True, append_images=frames[1:2], loop=0)
    frames[0].save(three, "GIF", save_all=True, append_images=frames[1:], loop=0)
    cut = three.getvalue()[: len(two.getvalue()) - 1]
    assert two.getvalue() == cut + b";"
    with pytest.raises(TruncatedError):
        look(cut)
    assert look(cut, OnTruncated.SCAN).frames_seen == 2
