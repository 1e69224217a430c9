"""A video is looked at over its whole length, or refused by name; nothing of it is skipped, concealed or promised."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable
from math import ceil

import av
import av.logging
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from serve_app.domain import (
    Deadline,
    DeadlineExceededError,
    TooLargeError,
    UndecodableError,
    UnscannableError,
    UnsupportedError,
)
from serve_app.media.limits import MediaLimits
from serve_app.media.video import sample_video

NO_HURRY = Deadline(1.0, clock=lambda: 0.0)
LIMITS = MediaLimits()
SIDE_PX = 64
VIEW_PX = 224
FPS = 25
slow = settings(max_examples=10, deadline=None, derandomize=True)
quick = settings(max_examples=60, deadline=None, derandomize=True)

ENCODERS = {
    "h264 in mp4": ("libx264", "video/mp4", {"preset": "veryfast"}),
    "hevc in mp4": ("libx265", "video/mp4", {"preset": "ultrafast", "x265-params": "log-level=none"}),
    "av1 in mp4": ("libsvtav1", "video/mp4", {"preset": "12", "svtav1-params": "lp=1"}),
    "vp8 in webm": ("libvpx", "video/webm", {"deadline": "realtime", "cpu-used": "8"}),
    "vp9 in webm": ("libvpx-vp9", "video/webm", {"deadline": "realtime", "cpu-used": "8"}),
    "av1 in webm": ("libsvtav1", "video/webm", {"preset": "12", "svtav1-params": "lp=1"}),
}
CONTAINERS = {"video/mp4": "mp4", "video/webm": "webm"}
RED = (255, 0, 0)


@pytest.fixture(autouse=True, scope="module")
def quiet_encoders() -> Iterable[None]:
    """SVT-AV1 speaks to the standard error by an environment variable's leave only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVT_LOG", "-1")
        yield


def one_colour(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.full((SIDE_PX, SIDE_PX, 3), colour, np.uint8)


def moving(step: int) -> NDArray[np.uint8]:
    """A bar that walks over a dark picture: every frame differs from its neighbours."""
    frame = one_colour((20, 30, 60))
    frame[:, 4 * step % SIDE_PX : 4 * step % SIDE_PX + 8] = (40, 160, 200)
    return frame


def encode(
    frames: Iterable[NDArray[np.uint8]],
    kind: str = "h264 in mp4",
    times: list[int] | None = None,
    rotation: int = 0,
    muxing: dict[str, str] | None = None,
) -> bytes:
    """A video; ``times`` in 1/25 s says when each frame begins, else they follow one another evenly."""
    encoder, media_type, options = ENCODERS[kind]
    written = io.BytesIO()
    with av.open(written, "w", format=CONTAINERS[media_type], options=muxing or {}) as container:
        stream = container.add_stream(encoder, rate=FPS, options=options)
        stream.pix_fmt = "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for index, pixels in enumerate(frames):
            if index == 0:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels)
            frame.pts = times[index] if times else index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return written.getvalue()


def look(
    body: bytes, media_type: str = "video/mp4", limits: MediaLimits = LIMITS, deadline: Deadline = NO_HURRY
) -> list[tuple[int, NDArray[np.uint8]]]:
    sample = sample_video(body, media_type, limits, VIEW_PX, deadline)
    frames = [(frame.index, np.asarray(frame.picture)) for frame in sample.frames]
    assert tuple(index for index, _ in frames) == sample.indices
    return frames


def is_red(pixels: NDArray[np.uint8]) -> bool:
    return bool((np.abs(pixels.mean(axis=(0, 1)) - RED) < 40).all())


WHOLE = {kind: encode(map(moving, range(40)), kind) for kind in ENCODERS}
ONE_OF_EACH = ("h264 in mp4", "vp9 in webm")


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_video_of_every_codec_is_seen_from_its_first_to_its_last_frame(kind: str) -> None:
    frames = look(WHOLE[kind], ENCODERS[kind][1])
    indices = [index for index, _ in frames]
    assert (indices[0], indices[-1], len(indices)) == (0, 39, 16)
    for index, pixels in frames:
        assert np.abs(pixels.astype(int) - moving(index)).mean() < 16


@pytest.mark.parametrize("kind", ENCODERS)
@slow
@given(st.data())
def test_a_picture_that_stays_for_a_sixteenth_of_the_time_is_seen(kind: str, data: st.DataObject) -> None:
    before, after = data.draw(st.integers(0, 40)), data.draw(st.integers(4, 40))
    stays = max(1, ceil((before + after + 1) / 15))
    if data.draw(st.booleans(), label="as one long frame"):
        shown = [*map(moving, range(before)), one_colour(RED), *map(moving, range(after + 1))]
        times = [*range(before + 1), *range(before + stays, before + stays + after + 1)]
    else:
        shown = [*map(moving, range(before)), *[one_colour(RED)] * (stays + 1), *map(moving, range(after))]
        times = list(range(len(shown)))
    body = encode(shown, kind, times)
    assert any(is_red(pixels) for _, pixels in look(body, ENCODERS[kind][1]))


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_frames_that_are_too_much_to_keep_are_decoded_again(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = look(WHOLE[kind], ENCODERS[kind][1])
    monkeypatch.setattr("serve_app.media.video._KEPT_BYTES", 10 * SIDE_PX * SIDE_PX)
    again = look(WHOLE[kind], ENCODERS[kind][1])
    assert [index for index, _ in again] == [index for index, _ in kept]
    np.testing.assert_array_equal([pixels for _, pixels in again], [pixels for _, pixels in kept])


def test_large_frames_are_no_larger_than_views_need() -> None:
    frame = np.full((700, 1000, 3), RED, np.uint8)
    ((_, pixels),) = look(encode([frame]))
    assert pixels.shape == (336, 480, 3)
    assert is_red(pixels)


def test_a_single_odd_frame_is_found() -> None:
    shown = [moving(step) for step in range(300)]
    shown[171] = one_colour(RED)
    assert any(is_red(pixels) for _, pixels in look(encode(shown)))


def test_a_video_of_one_frame_is_seen() -> None:
    ((index, pixels),) = look(encode([one_colour(RED)]))
    assert index == 0
    assert is_red(pixels)


@pytest.mark.parametrize(("rotation", "corner"), [(0, (0, 0)), (90, (-1, 0)), (180, (-1, -1)), (-90, (0, -1))])
def test_a_rotated_video_is_turned_upright(rotation: int, corner: tuple[int, int]) -> None:
    frame = np.full((48, 96, 3), 20, np.uint8)
    frame[:24, :24] = RED
    _, pixels = look(encode([frame] * 3, rotation=rotation))[0]
    down, right = corner
    assert pixels.shape[:2] == ((96, 48) if rotation % 180 else (48, 96))
    assert is_red(pixels[down * 12 or slice(0, 12), right * 12 or slice(0, 12)][None, None].reshape(1, -1, 3))


# Limits and deadline


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (MediaLimits(max_video_pixels=SIDE_PX**2 - 1), "64x64 pixels are more than 4095"),
        (MediaLimits(max_frames_total=39), "40 frames are more than 39"),
        (MediaLimits(max_duration_s=1.0), "2 seconds are more than 1"),
    ],
)
def test_too_much_of_anything_is_refused(kind: str, limits: MediaLimits, message: str) -> None:
    with pytest.raises(TooLargeError, match=message):
        look(WHOLE[kind], ENCODERS[kind][1], limits)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_the_limits_are_inclusive(kind: str) -> None:
    look(
        WHOLE[kind],
        ENCODERS[kind][1],
        MediaLimits(max_video_pixels=SIDE_PX**2, max_frames_total=40, max_duration_s=1.7),
    )


def test_the_limit_on_pixels_leaves_out_a_codecs_padding() -> None:
    shown = [np.full((90, 100, 3), 40, np.uint8)] * 3
    assert len(look(encode(shown), limits=MediaLimits(max_video_pixels=9000))) == 3


def test_the_deadline_is_asked_before_each_frame() -> None:
    asked = itertools.count()
    with pytest.raises(DeadlineExceededError, match="decoding"):
        look(WHOLE["h264 in mp4"], deadline=Deadline(20.5, clock=lambda: float(next(asked))))


# Broken bytes


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_video_that_breaks_off_is_undecodable(kind: str, share: float) -> None:
    media_type = ENCODERS[kind][1]
    with pytest.raises(UndecodableError, match=f"not a readable {media_type}"):
        look(WHOLE[kind][: int(len(WHOLE[kind]) * share)], media_type)


@pytest.mark.parametrize(
    ("kind", "muxing"),
    [
        ("h264 in mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("vp8 in webm", {"live": "1"}),
        ("vp9 in webm", {"live": "1"}),
    ],
)
def test_a_streamed_video_is_seen_and_may_not_break_off_either(kind: str, muxing: dict[str, str]) -> None:
    media_type = ENCODERS[kind][1]
    body = encode(map(moving, range(40)), kind, muxing=muxing)
    assert look(body, media_type)[-1][0] == 39
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(UndecodableError):
            look(body[: int(len(body) * share)], media_type)


def test_a_video_that_holds_less_than_it_promises_is_undecodable() -> None:
    # The pictures' box is shortened in the middle, so that nothing breaks off; its table still tells of 40 frames.
    body = WHOLE["h264 in mp4"]
    mdat, moov = body.index(b"mdat") - 4, body.index(b"moov") - 4
    kept = body[mdat + 8 : mdat + (moov - mdat) // 2]
    with pytest.raises(UndecodableError):
        look(body[:mdat] + (8 + len(kept)).to_bytes(4, "big") + b"mdat" + kept + body[moov:])


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_bytes_after_the_end_of_a_video_are_ignored(kind: str) -> None:
    indices = [index for index, _ in look(WHOLE[kind] + b"trailing" * 8, ENCODERS[kind][1])]
    assert indices == [index for index, _ in look(WHOLE[kind], ENCODERS[kind][1])]


@pytest.mark.parametrize("junk", [b"", bytes(400), bytes(range(256)) * 4, b"\xff" * 400])
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_junk_after_a_signature_is_undecodable(kind: str, junk: bytes) -> None:
    with pytest.raises(UndecodableError):
        look(WHOLE[kind][:32] + junk, ENCODERS[kind][1])


@pytest.mark.parametrize(("kind", "other"), [("h264 in mp4", "video/webm"), ("vp9 in webm", "video/mp4")])
def test_bytes_of_one_type_are_not_read_as_another(kind: str, other: str) -> None:
    with pytest.raises(UndecodableError):
        look(WHOLE[kind], other)


@pytest.mark.parametrize("kind", ENCODERS)
@quick
@given(st.data())
def test_flipped_bytes_end_in_frames_or_in_one_of_our_errors(kind: str, data: st.DataObject) -> None:
    body = bytearray(WHOLE[kind])
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=6)):
        body[place] = data.draw(st.integers(0, 255))
    try:
        assert look(
            bytes(body), ENCODERS[kind][1], MediaLimits(max_video_pixels=10_000, max_frames_total=60, max_frames=4)
        )
    except UnscannableError:
        return


def test_damage_inside_a_frame_is_not_concealed() -> None:
    body = bytearray(WHOLE["h264 in mp4"])
    at = body.index(b"mdat") + 1200
    body[at : at + 60] = b"\x55" * 60
    with pytest.raises(UndecodableError):
        look(bytes(body))


def test_the_decoder_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UndecodableError):
        look(WHOLE["h264 in mp4"][:-500] + bytes(500))
    assert capfd.readouterr() == ("", "")


# Tracks and codecs


def with_tracks(*encoders: str) -> bytes:
    """An MP4 with a track per encoder, of a second's silence or of a still picture."""
    written = io.BytesIO()
    with av.open(written, "w", format="mp4") as container:
        streams = [container.add_stream(each, rate=8000 if each == "aac" else FPS) for each in encoders]
        for stream in streams:
            if isinstance(stream, av.VideoStream):
                stream.width = stream.height = SIDE_PX
                stream.pix_fmt = "yuv420p"
        for step in range(8):
            for stream in streams:
                if isinstance(stream, av.VideoStream):
                    video = av.VideoFrame.from_ndarray(moving(step))
                    video.pts = step
                    container.mux(stream.encode(video))
                else:
                    sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                    sound.sample_rate, sound.pts = 8000, step * 1024
                    container.mux(stream.encode(sound))
        for stream in streams:
            container.mux(stream.encode())
    return written.getvalue()


def test_sound_besides_the_picture_is_left_out() -> None:
    assert len(look(with_tracks("libx264", "aac"))) == 8


def test_sound_alone_is_undecodable() -> None:
    with pytest.raises(UndecodableError, match="no video in it"):
        look(with_tracks("aac"))


def test_two_video_tracks_are_refused_rather_than_one_missed() -> None:
    with pytest.raises(UnsupportedError, match="2 video tracks"):
        look(with_tracks("libx264", "libx264"))


def test_another_codec_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="mpeg4"):
        look(with_tracks("mpeg4"))
