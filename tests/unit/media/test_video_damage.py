"""A video that is cut, damaged or something else: refused, or scanned as far as it goes, and never taken for whole."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain import (
    TruncatedError,
    UndecodableError,
    UnscannableError,
)
from serve_app.domain.limits import MediaLimits
from serve_app.media.video import sample_video

from .videos import (
    ENCODERS,
    LIMITS,
    NO_HURRY,
    ONE_OF_EACH,
    RED,
    VIEW_PX,
    WHOLE,
    encode,
    is_red,
    look,
    moving,
    one_colour,
)

slow = settings(max_examples=10, deadline=None, derandomize=True)
quick = settings(max_examples=60, deadline=None, derandomize=True)


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_video_that_breaks_off_is_truncated(kind: str, share: float) -> None:
    media_type = ENCODERS[kind][1]
    with pytest.raises(TruncatedError, match=f"not a readable {media_type}"):
        look(WHOLE[kind][: int(len(WHOLE[kind]) * share)], media_type)


IN_ORDER = {
    "h264 in mp4": {"movflags": "frag_every_frame+empty_moov"},
    "hevc in mp4": {"movflags": "frag_every_frame+empty_moov"},
    "vp8 in webm": {"live": "1"},
    "vp9 in webm": {},
    "av1 in webm": {},
}
"""Videos whose first part can be shown without the rest."""
SHORT = {kind: encode(map(moving, range(6)), kind, muxing=muxing) for kind, muxing in IN_ORDER.items()}
BETWEEN_FRAGMENTS = {kind: {found.start() - 4 for found in re.finditer(b"moof", body)} for kind, body in SHORT.items()}
"""Where nobody can tell that anything is missing."""


@pytest.mark.parametrize("kind", IN_ORDER)
def test_what_is_left_of_a_cut_video_can_be_scanned(kind: str) -> None:
    media_type = ENCODERS[kind][1]
    shown = [*[one_colour(RED)] * 10, *map(moving, range(30))]
    body = encode(shown, kind, muxing=IN_ORDER[kind])
    sample = sample_video(body[: len(body) * 3 // 4], media_type, LIMITS, VIEW_PX, NO_HURRY, is_lenient=True)
    frames = [np.asarray(frame.picture) for frame in sample.frames]
    assert 10 < sample.total < 40
    assert any(map(is_red, frames))


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_cut_video_with_no_frame_left_is_truncated_in_either_mode(kind: str) -> None:
    body = WHOLE[kind]
    with pytest.raises(TruncatedError):
        sample_video(body[: len(body) // 40], ENCODERS[kind][1], LIMITS, VIEW_PX, NO_HURRY, is_lenient=True)


@pytest.mark.parametrize("kind", IN_ORDER)
@slow
@given(st.data())
def test_a_part_of_a_video_is_never_taken_for_the_whole(kind: str, data: st.DataObject) -> None:
    body = SHORT[kind]
    # A WebM may end with an index, without which no picture is missing; an MP4's last box is an index as well.
    pictures_end = max(body.rfind(bytes.fromhex("1c53bb6b")), body.rfind(b"mfra") - 4, 0) or len(body)
    at = data.draw(st.integers(8, pictures_end - 1).filter(lambda at: at not in BETWEEN_FRAGMENTS[kind]))
    with pytest.raises(UnscannableError):
        look(body[:at], ENCODERS[kind][1])


@pytest.mark.slow
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
        with pytest.raises(TruncatedError):
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
