"""Every kind of still and animation becomes upright RGB in which nothing that a viewer sees is hidden."""

from __future__ import annotations

import itertools
import struct
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serve_app.domain import Deadline, DeadlineExceededError, TooLargeError, TruncatedError, UndecodableError
from serve_app.domain.limits import MediaLimits
from serve_app.media.frames import sample_frames, shown_s
from serve_app.media.pictures import open_picture
from tests.unit.media.pictures import RED, encode, frames_of

quick = settings(max_examples=100, deadline=None, derandomize=True)
slow = settings(quick, max_examples=6)


# Still pictures


# Transparency


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
def test_an_animation_that_breaks_off_between_the_chosen_frames_is_refused(media_type: str) -> None:
    body = encode(moving(0), media_type, save_all=True, append_images=[moving(step) for step in range(1, 60)])
    with pytest.raises((TruncatedError, UndecodableError)):
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
