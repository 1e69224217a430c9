"""A video is looked at over its whole length, or refused by name; nothing of it is skipped, concealed or promised."""

from __future__ import annotations

import io
import itertools
import os
import struct
from math import ceil

import av
import av.logging
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serve_app.domain import (
    Deadline,
    DeadlineExceededError,
    TooLargeError,
    TruncatedError,
    UndecodableError,
    UnsupportedError,
)
from serve_app.domain.limits import MediaLimits
from serve_app.media.parsers.video_container import alpha_elements
from serve_app.media.video import sample_video

from .videos import (
    ENCODERS,
    FPS,
    LIMITS,
    NO_HURRY,
    ONE_OF_EACH,
    RED,
    SIDE_PX,
    VIEW_PX,
    WHOLE,
    encode,
    is_red,
    look,
    look_at_all,
    moving,
    one_colour,
)

slow = settings(max_examples=10, deadline=None, derandomize=True)
quick = settings(max_examples=60, deadline=None, derandomize=True)


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
    monkeypatch.setattr("serve_app.media.video._MAX_FRAMES_BYTES", 10 * SIDE_PX * SIDE_PX)
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENCODERS)
def test_a_video_that_begins_late_is_seen(kind: str) -> None:
    body = encode([one_colour(RED)] * 5, kind, times=[50, 51, 52, 53, 54])
    assert is_red(look(body, ENCODERS[kind][1])[0][1])


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((-1, 0, 0, 1), Image.Transpose.FLIP_LEFT_RIGHT),
        ((1, 0, 0, -1), Image.Transpose.FLIP_TOP_BOTTOM),
        ((0, 1, 1, 0), Image.Transpose.TRANSPOSE),
        ((0, -1, -1, 0), Image.Transpose.TRANSVERSE),
    ],
)
def test_a_mirrored_video_is_seen_as_players_mirror_it(
    matrix: tuple[int, int, int, int], turn: Image.Transpose
) -> None:
    frame = np.full((48, 96, 3), 20, np.uint8)
    frame[:24, :24] = RED
    body = bytearray(encode([frame] * 3))
    right_x, right_y, down_x, down_y = (number << 16 for number in matrix)
    place = body.index(b"tkhd") + 4 + 40
    struct.pack_into(">9i", body, place, right_x, right_y, 0, down_x, down_y, 0, 0, 0, 1 << 30)
    _, pixels = look(bytes(body))[0]
    upright = np.asarray(Image.fromarray(frame).transpose(turn))
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).mean() < 8


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


# Tracks and codecs


def with_tracks(*encoders: str, container: str = "mp4", sound_s: float = 1.0, begin: int = 0) -> bytes:
    """A file with a track per encoder, of some seconds of silence or of eight frames from ``begin`` / 25 s on."""
    written = io.BytesIO()
    with av.open(written, "w", format=container) as output:
        streams = [output.add_stream(each, rate=FPS if "x" in each else 48_000) for each in encoders]
        for stream in streams:
            if isinstance(stream, av.VideoStream):
                stream.width = stream.height = SIDE_PX
                stream.pix_fmt = "yuv420p"
            elif isinstance(stream, av.AudioStream):
                stream.layout = "mono"
        for stream in streams:
            assert isinstance(stream, av.VideoStream | av.AudioStream)
            if isinstance(stream, av.VideoStream):
                for step in range(8):
                    video = av.VideoFrame.from_ndarray(moving(step))
                    video.pts = begin + step
                    output.mux(stream.encode(video))
            elif isinstance(stream, av.AudioStream):
                for step in range(int(sound_s * 50)):
                    sound = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), "flt", "mono")
                    sound.sample_rate, sound.pts = 48_000, step * 960
                    output.mux(stream.encode(sound))
            output.mux(stream.encode())
    return written.getvalue()


def test_sound_besides_the_picture_is_left_out() -> None:
    assert len(look(with_tracks("libx264", "aac"))) == 8


@pytest.mark.parametrize("container", ["webm", "mp4"])
def test_sound_may_outlast_the_picture(container: str) -> None:
    body = with_tracks("libvpx-vp9", "libopus", container=container, sound_s=20)
    assert len(look(body, f"video/{container}")) == 8


@pytest.mark.parametrize("container", ["webm", "mp4"])
def test_sound_may_begin_ahead_of_the_picture(container: str) -> None:
    body = with_tracks("libvpx-vp9", "libopus", container=container, begin=200)
    assert len(look(body, f"video/{container}")) == 8


@pytest.mark.slow
def test_a_video_without_the_end_that_its_length_states_is_truncated() -> None:
    # Recorded live, so that no element states its length; then cut between two clusters.
    body = encode(map(moving, range(60)), "vp8 in webm", muxing={"cluster_time_limit": "400"})
    segment = body.index(bytes.fromhex("18538067"))
    last_cluster = body.rindex(bytes.fromhex("1f43b675"), 0, len(body) * 2 // 3)
    endless = body[: segment + 4] + b"\x01" + b"\xff" * 7 + body[segment + 12 : last_cluster]
    with pytest.raises(TruncatedError, match="seconds"):
        look(endless, "video/webm")


def test_sound_alone_is_undecodable() -> None:
    with pytest.raises(UndecodableError, match="no video in it"):
        look(with_tracks("aac"))


def test_of_several_video_tracks_each_is_seen() -> None:
    # Players do not agree which of them they show.
    sample = sample_video(with_tracks("libx264", "libx264"), "video/mp4", LIMITS, VIEW_PX, NO_HURRY)
    indices = [frame.index for frame in sample.frames]
    assert sample.total == 16
    assert (min(indices), max(indices)) == (0, 15)
    assert len(indices) == LIMITS.max_frames


def test_more_video_tracks_than_any_player_offers_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="5 video tracks"):
        look(with_tracks(*["libx264"] * 5))


def test_another_codec_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="mpeg4"):
        look(with_tracks("mpeg4"))


# What only some programs show


def open_gop() -> bytes:
    """An HEVC video that begins with a picture in the middle of another one, as a cut without coding anew leaves it."""
    whole, cut = io.BytesIO(), io.BytesIO()
    options = (
        "log-level=none:open-gop=1:keyint=18:min-keyint=18:rc-lookahead=20:bframes=8:b-adapt=0:scenecut=0:b-pyramid=1"
    )
    with av.open(whole, "w", format="mp4") as container:
        stream = container.add_stream("libx265", rate=FPS, options={"preset": "ultrafast", "x265-params": options})
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        for step in range(54):
            frame = av.VideoFrame.from_ndarray(moving(step))
            frame.pts = step
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(io.BytesIO(whole.getvalue()), "r") as source, av.open(cut, "w", format="mp4") as container:
        copied = container.add_stream_from_template(source.streams.video[0])
        keyframes = 0
        for packet in source.demux(video=0):
            keyframes += packet.is_keyframe
            if packet.dts is not None and keyframes > 1:
                packet.stream = copied
                container.mux(packet)
    return cut.getvalue()


def test_leading_pictures_that_no_player_shows_are_not_missed() -> None:
    body = open_gop()
    with av.open(io.BytesIO(body)) as container:
        stated = container.streams.video[0].frames
    sample = sample_video(body, "video/mp4", LIMITS, VIEW_PX, NO_HURRY)
    assert sample.total < 0.95 * stated - 2  # more than what is tolerated anyway
    assert len(list(sample.frames)) == len(sample.indices)


ALPHA_ENCODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def half_red(encoder: str, alpha_mode: str | None = None) -> bytes:
    """A WebM that is red, and transparent in its lower half; ``alpha_mode`` is what a tag says of that."""
    pixels = np.zeros((SIDE_PX, SIDE_PX, 4), np.uint8)
    pixels[..., 0] = 255
    pixels[:32, :, 3] = 255  # red below, too, where nobody sees it
    written = io.BytesIO()
    with av.open(written, "w", format="webm") as container:
        stream = container.add_stream(encoder, rate=FPS, options={"auto-alt-ref": "0", "deadline": "realtime"})
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuva420p"
        if alpha_mode is not None:
            stream.metadata["alpha_mode"] = alpha_mode
        for step in range(3):
            frame = av.VideoFrame.from_ndarray(pixels, "rgba").reformat(format="yuva420p")
            frame.pts = step
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return written.getvalue()


@pytest.mark.parametrize("alpha_mode", [None, "1"])
@pytest.mark.parametrize("encoder", ALPHA_ENCODERS.values())
def test_transparency_is_seen_over_white_and_over_black(encoder: str, alpha_mode: str | None) -> None:
    frames = [shown.astype(int) for _, shown in look_at_all(half_red(encoder, alpha_mode), "video/webm")]
    assert all(is_red(shown[4:28].astype(np.uint8)) for shown in frames)
    below = {round(float(shown[36:60].mean())) for shown in frames}
    assert below == {0, 255}


ALPHA_ELEMENT = bytes.fromhex("53c08101")


@pytest.mark.slow
@pytest.mark.parametrize("kept_in", ["the element", "the tag"])
@pytest.mark.parametrize("encoder", ALPHA_ENCODERS.values())
def test_transparency_that_a_tag_contradicts_is_seen_as_each_player_shows_it(encoder: str, kept_in: str) -> None:
    body = half_red(encoder, alpha_mode="0" if kept_in == "the element" else "1")
    assert body.count(ALPHA_ELEMENT) == 1
    if kept_in == "the tag":
        body = body.replace(ALPHA_ELEMENT, ALPHA_ELEMENT[:-1] + b"\x00")
    readings = [shown[36:60] for _, shown in look_at_all(body, "video/webm")]
    assert {round(float(shown.mean())) for shown in readings if not is_red(shown)} == {0, 255}
    assert any(is_red(shown) for shown in readings)


def test_more_elements_than_any_file_has_are_refused() -> None:
    segment_of_unknown_length = bytes.fromhex("1853806701ffffffffffffff")
    with pytest.raises(ValueError, match="elements"):
        alpha_elements(segment_of_unknown_length + bytes.fromhex("ec80") * 200_000)


@given(st.binary(max_size=200))
@quick
def test_elements_of_any_bytes_end(body: bytes) -> None:
    assert alpha_elements(bytes.fromhex("18538067ff1654ae6bffaeffe0ff") + body) <= {True, False}


def test_an_animation_of_transparency_alone_is_no_still() -> None:
    written = io.BytesIO()
    with av.open(written, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=FPS, options={"auto-alt-ref": "0", "deadline": "realtime"})
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuva420p"
        for step in range(40):
            pixels = np.full((SIDE_PX, SIDE_PX, 4), 255, np.uint8)
            pixels[..., 1:] = 0
            if step == 23:
                pixels[..., 3] = 255
            frame = av.VideoFrame.from_ndarray(pixels, "rgba").reformat(format="yuva420p")
            frame.pts = step
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert 23 in [index for index, _ in look_at_all(written.getvalue(), "video/webm")]


def test_hdr_is_seen_as_browsers_show_it_and_as_it_stands() -> None:
    written = io.BytesIO()
    with av.open(written, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, 16, 9
        for step in range(3):
            frame = av.VideoFrame.from_ndarray(one_colour((144, 144, 144))).reformat(format="yuv420p")
            frame.color_primaries, frame.color_trc, frame.colorspace, frame.pts = 9, 16, 9, step
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    means = sorted({round(float(shown.mean())) for _, shown in look_at_all(written.getvalue())})
    assert means == [pytest.approx(144, abs=2), pytest.approx(175, abs=2)]  # 175 by Chromium 156


@pytest.mark.parametrize("kind", ENCODERS)
def test_no_encoder_of_these_tests_makes_them_real_time(kind: str) -> None:
    encode([one_colour(RED)], kind)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
