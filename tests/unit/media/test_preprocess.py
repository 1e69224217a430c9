"""From a body to its views, and every way in which a body fails."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from serve_app.domain import (
    Deadline,
    DeadlineExceededError,
    TooLargeError,
    TruncatedError,
    UndecodableError,
    UnscannableError,
    UnsupportedError,
    ViewPlace,
    Views,
)
from serve_app.media import MediaLimits, preprocess

PILLOW_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
}
ANIMATED = ("image/gif", "image/webp", "image/avif", "image/png")
NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
SIZE_PX = 16
quick = settings(max_examples=100, deadline=None, derandomize=True)


def encode(picture: Image.Image, media_type: str, **options: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, PILLOW_FORMATS[media_type], **options)
    return written.getvalue()


def drawing(width_px: int = 96, height_px: int = 64) -> Image.Image:
    """Shapes and a gradient: enough detail that every format needs some hundred bytes for it."""
    across, down = np.meshgrid(np.arange(width_px), np.arange(height_px))
    picture = Image.fromarray(np.dstack([across * 2, down * 3, (across * down) % 251]).astype(np.uint8))
    ImageDraw.Draw(picture).ellipse((20, 10, 60, 50), "orange", "navy", 3)
    return picture


def animated(media_type: str, frames: int = 4) -> bytes:
    pictures = [drawing().rotate(30 * turn) for turn in range(frames)]
    return encode(pictures[0], media_type, save_all=True, append_images=pictures[1:], duration=50)


BODIES = {media_type: encode(drawing(), media_type) for media_type in PILLOW_FORMATS}


def look(body: bytes, limits: MediaLimits | None = None, deadline: Deadline = NO_HURRY) -> Views:
    return preprocess(body, SIZE_PX, limits or MediaLimits(), deadline)


@pytest.mark.parametrize("media_type", PILLOW_FORMATS)
def test_a_still_becomes_one_view_that_looks_like_it(media_type: str) -> None:
    views = look(BODIES[media_type])
    assert (views.pixels.shape, views.pixels.dtype) == ((1, SIZE_PX, SIZE_PX, 3), np.dtype(np.uint8))
    assert views.places == (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)),)
    assert (views.media_type, views.frames_seen, views.frames_total) == (media_type, 1, 1)
    small = np.asarray(drawing().resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(views.pixels[0] - small).mean() < 12


def test_a_long_animation_of_long_frames_names_the_place_of_every_view() -> None:
    frames = [Image.new("RGB", (90, 30), (20 * step, 0, 0)) for step in range(10)]
    body = encode(frames[0], "image/gif", save_all=True, append_images=frames[1:], duration=50)
    views = look(body, MediaLimits(max_frames=3))
    per_frame = [len(list(group)) for _, group in itertools.groupby(place.frame for place in views.places)]
    assert [key for key, _ in itertools.groupby(place.frame for place in views.places)] == [0, 6, 9]
    assert len(set(per_frame)) == 1
    assert len(views.pixels) == len(views.places) == sum(per_frame)
    assert (views.frames_seen, views.frames_total) == (3, 10)


def test_a_transparent_picture_has_views_over_both_backgrounds_and_counts_as_one_frame() -> None:
    views = look(encode(Image.new("RGBA", (32, 32), (0, 0, 0, 0)), "image/png"))
    assert views.pixels.mean(axis=(1, 2, 3)).tolist() == [255.0, 0.0]
    assert [place.frame for place in views.places] == [0, 0]
    assert (views.frames_seen, views.frames_total) == (1, 1)


@pytest.mark.parametrize("size", [(1101, 803), (1601, 1203)])
@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "image/webp", "image/png, transparent"])
def test_what_is_decoded_small_looks_as_at_full_size(kind: str, size: tuple[int, int]) -> None:
    """Within what a filter changes at edges; a picture that were stretched or shifted by a pixel would differ more."""
    media_type, _, is_transparent = kind.partition(", ")
    large = drawing().resize(size, Image.Resampling.BICUBIC)
    shown = large.copy()
    if is_transparent:
        large.putalpha(128)
        shown = Image.alpha_composite(Image.new("RGBA", size, "white"), large).convert("RGB")
    views = preprocess(encode(large, media_type, quality=95, method=0, compress_level=1), 224, MediaLimits(), NO_HURRY)
    full = np.asarray(shown.resize((224, 224), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(views.pixels[0] - full).mean() < 2


def test_a_large_jpeg_looks_the_same_as_without_shrinking_on_load() -> None:
    # Of sides that the blocks divide, which are averaged of the PNG: at 16 px a part of a block is a part of a pixel.
    large = drawing().resize((1440, 960), Image.Resampling.BICUBIC)
    shrunk = look(encode(large, "image/jpeg", quality=95)).pixels.astype(int)
    whole = look(encode(large, "image/png")).pixels.astype(int)
    assert np.abs(shrunk - whole).mean() < 2


def test_an_animations_repeated_preprocessing_is_deterministic() -> None:
    body = animated("image/gif")
    np.testing.assert_array_equal(look(body).pixels, look(body).pixels)


# Broken bytes


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("media_type", PILLOW_FORMATS)
def test_a_truncated_picture_is_refused(media_type: str, share: float) -> None:
    body = BODIES[media_type]
    with pytest.raises((TruncatedError, UndecodableError), match=media_type):
        look(body[: int(len(body) * share)])


@pytest.mark.parametrize("media_type", ANIMATED)
def test_an_animation_that_breaks_off_inside_a_frame_is_refused(media_type: str) -> None:
    whole = animated(media_type)
    with pytest.raises((TruncatedError, UndecodableError)):
        look(whole[: int(len(whole) * 0.85)])


@pytest.mark.parametrize("media_type", PILLOW_FORMATS)
def test_a_truncated_picture_is_never_taken_for_another(media_type: str) -> None:
    body = BODIES[media_type]
    whole = look(body).pixels
    for end in range(32, len(body), 7):
        try:
            np.testing.assert_array_equal(look(body[:end]).pixels, whole)
        except (TruncatedError, UndecodableError):
            continue


@pytest.mark.parametrize("junk", [b"", bytes(400), bytes(range(256)) * 4, b"\xff" * 400])
@pytest.mark.parametrize("media_type", PILLOW_FORMATS)
def test_junk_after_a_signature_is_refused(media_type: str, junk: bytes) -> None:
    signature = BODIES[media_type][: 32 if media_type == "image/avif" else 12]
    with pytest.raises((TruncatedError, UndecodableError)):
        look(signature + junk)


@pytest.mark.parametrize("media_type", PILLOW_FORMATS)
def test_bytes_after_the_end_of_a_picture_are_ignored(media_type: str) -> None:
    np.testing.assert_array_equal(look(BODIES[media_type] + b"trailing" * 8).pixels, look(BODIES[media_type]).pixels)


@quick
@given(st.data(), st.sampled_from([*BODIES]), st.booleans())
def test_flipped_bytes_end_in_views_or_in_one_of_our_errors(
    data: st.DataObject, media_type: str, in_animation: bool
) -> None:
    body = bytearray(ANIMATIONS[media_type] if in_animation and media_type in ANIMATIONS else BODIES[media_type])
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=6)):
        body[place] = data.draw(st.integers(0, 255))
    try:
        views = look(bytes(body), MediaLimits(max_pixels=10_000, max_frames_total=20, max_frames=4))
    except UnscannableError:
        return
    assert len(views.pixels) == len(views.places)


ANIMATIONS = {media_type: animated(media_type) for media_type in ANIMATED}


@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"\xff", b"GIF8", b"RIFF\x00\x00\x00\x00WEB", b"<html>not found</html>"]
)
def test_next_to_nothing_is_unsupported(body: bytes) -> None:
    with pytest.raises(UnsupportedError):
        look(body)


# Limits and deadline


@pytest.mark.parametrize("media_type", PILLOW_FORMATS)
def test_too_many_pixels_are_refused(media_type: str) -> None:
    with pytest.raises(TooLargeError, match="96x64 pixels"):
        look(BODIES[media_type], MediaLimits(max_pixels=96 * 64 - 1))


def test_too_many_frames_are_refused() -> None:
    with pytest.raises(TooLargeError, match="4 frames"):
        look(animated("image/gif"), MediaLimits(max_frames_total=3))


def test_a_deadline_that_has_passed_is_not_started_on() -> None:
    with pytest.raises(DeadlineExceededError, match="decoding"):
        look(BODIES["image/jpeg"], deadline=Deadline(0.0, clock=lambda: 0.0))


def test_a_deadline_is_asked_between_frames() -> None:
    asked = itertools.count()
    with pytest.raises(DeadlineExceededError):
        look(animated("image/gif"), deadline=Deadline(2.5, clock=lambda: float(next(asked))))


def test_other_types_are_refused_before_the_deadline_is_asked() -> None:
    with pytest.raises(UnsupportedError, match="application/pdf"):
        look(b"%PDF-1.7" + bytes(100), deadline=Deadline(0.0, clock=lambda: 0.0))
