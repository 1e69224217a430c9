"""Frames are sampled over the whole length, and none may be larger than the limit."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serve_app.domain import TooLargeError
from serve_app.media.decode import decoding, open_picture
from serve_app.media.frames import Frame, sample_frames, sample_indices
from serve_app.media.limits import MediaLimits

quick = settings(max_examples=100, deadline=None, derandomize=True)
PILLOW_FORMATS = {"image/png": "PNG", "image/gif": "GIF", "image/webp": "WEBP", "image/avif": "AVIF"}
RED, BLUE = (255, 0, 0), (0, 0, 255)


def encode(picture: Image.Image, media_type: str, **options: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, PILLOW_FORMATS[media_type], **options)
    return written.getvalue()


def frames_of(body: bytes, media_type: str, limits: MediaLimits | None = None) -> list[Frame]:
    limits = limits or MediaLimits()
    with decoding(media_type):
        return list(sample_frames(open_picture(body, media_type, limits), limits))


@quick
@given(st.integers(1, 5000), st.integers(2, 64))
def test_a_sample_is_ordered_bounded_even_and_has_both_ends(total: int, max_frames: int) -> None:
    indices = sample_indices(total, max_frames)
    gaps = np.diff(indices)
    assert len(indices) == min(total, max_frames)
    assert (indices[0], indices[-1]) == (0, total - 1)
    assert (gaps >= 1).all()
    assert not gaps.size or gaps.max() - gaps.min() <= 2


@pytest.mark.parametrize("total", [1, 2, 900])
def test_a_sample_of_one_is_the_first(total: int) -> None:
    assert sample_indices(total, 1) == [0]


def animation(greys: list[int], media_type: str) -> bytes:
    frames = [Image.new("RGB", (32, 32), (grey, grey, grey)) for grey in greys]
    return encode(frames[0], media_type, save_all=True, append_images=frames[1:], duration=50)


@pytest.mark.parametrize("media_type", ["image/gif", "image/webp", "image/avif", "image/png"])
def test_frames_are_sampled_over_the_whole_length(media_type: str) -> None:
    greys = list(range(0, 250, 25))
    frames = frames_of(animation(greys, media_type), media_type, MediaLimits(max_frames=4))
    assert [frame.index for frame in frames] == [0, 3, 6, 9]
    shown = [int(np.asarray(frame.picture).mean()) for frame in frames]
    np.testing.assert_allclose(shown, [greys[frame.index] for frame in frames], atol=4)


@pytest.mark.parametrize("media_type", ["image/gif", "image/webp", "image/avif", "image/png"])
def test_a_short_animation_is_seen_whole(media_type: str) -> None:
    frames = frames_of(animation([0, 120, 240], media_type), media_type)
    assert [frame.index for frame in frames] == [0, 1, 2]


def test_both_pictures_of_a_stereo_jpeg_are_seen() -> None:
    written = io.BytesIO()
    Image.new("RGB", (32, 32), RED).save(
        written, "MPO", save_all=True, append_images=[Image.new("RGB", (32, 32), BLUE)]
    )
    first, second = (np.asarray(frame.picture) for frame in frames_of(written.getvalue(), "image/jpeg"))
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
