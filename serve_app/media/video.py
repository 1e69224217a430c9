"""Which frames of a video are looked at. The only module that imports PyAV (libav).

Every frame is decoded, on one thread: to skip frames would be to miss what stays in between. A first pass learns how
long each frame stays and what it looks like. It keeps the frames at the size that views need, while that is not too
much memory (20 s of 16:9 at 25 frames a second are not); where it is, a second pass decodes the chosen ones again.

Not looked at: alpha (WebM's second plane, which is left out), sound, subtitles, cover pictures. A file with several
video tracks is refused, since players do not agree which of them is shown. Edit lists are ignored, so that what they
hide is seen: a player that does not honour them would show it.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import av
import av.logging
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from serve_app.domain import Deadline, TooLargeError, UndecodableError, UnsupportedError
from serve_app.media.decode import decoding
from serve_app.media.frames import Frame, FrameSample
from serve_app.media.limits import MediaLimits
from serve_app.media.sampling import SIGNATURE_SIDE, choose_frames
from serve_app.media.video_container import require_whole

VIDEO_TYPES = frozenset({"video/mp4", "video/webm"})

# libav's name of the one demuxer that may read each type: bytes of one type are never read as another.
_DEMUXERS = {"video/mp4": "mp4", "video/webm": "webm"}

# libav has decoders for hundreds of codecs, few of which anyone attacks on purpose but us. Only these are ever opened.
_CODECS = frozenset({"h264", "hevc", "av1", "vp8", "vp9"})
_DECODERS = ("h264", "hevc", "libdav1d", "av1", "vp8", "vp9")

# What a file promises may differ from what is decoded by rounding, and by a frame at each end.
_TOLERATED_SHARE = 0.05
_TOLERATED_FRAMES = 2
_TOLERATED_S = 0.5

# What undoes each rotation that a display matrix asks for, in degrees counter-clockwise. Browsers know no others.
_TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    -180: Image.Transpose.ROTATE_180,
    -90: Image.Transpose.ROTATE_270,
}

# Codecs pad frames to whole blocks. libav's own limit counts the padding, ours does not.
_PADDING_PIXELS = 128 * 128

# Frames are kept at this multiple of the view's size, on their shorter side, unless they are smaller.
_OVERSAMPLING = 1.5

_KEPT_BYTES = 160 * 1024 * 1024

_MICROSECONDS = 1_000_000


def sample_video(
    body: bytes, media_type: str, limits: MediaLimits, view_size_px: int, deadline: Deadline
) -> FrameSample:
    """The frames of an MP4 or a WebM that are looked at, turned as players turn them, no larger than views need.

    Raises:
        UndecodableError: it has no video track, breaks off, is damaged, or holds less than it promises.
        UnsupportedError: its codec is none that we read, or it has several video tracks.
        TooLargeError: more pixels, frames or seconds than ``limits`` allow.
        DeadlineExceededError: no time is left; asked before each frame. As the frames are iterated, too.
    """
    require_whole(body, media_type)
    scaler = _Scaler(round(view_size_px * _OVERSAMPLING))
    survey = _survey(body, media_type, limits, scaler, deadline)
    indices = choose_frames(survey.durations_s(), np.stack(survey.signatures), limits.max_frames)
    if survey.kept is not None:
        frames = _converted({index: survey.kept[index] for index in indices})
    else:
        frames = _decoded_again(body, media_type, indices, limits, scaler, deadline)
    return FrameSample(len(survey.starts_s), tuple(indices), frames)


@dataclass(frozen=True, slots=True)
class _SmallFrame:
    """A frame no larger than views need, as it lies in the file, in half the bytes that RGB would take."""

    planes: av.VideoFrame
    rotation: int

    def picture(self) -> Image.Image:
        """Upright, in RGB."""
        picture = Image.fromarray(np.asarray(self.planes.to_ndarray(format="rgb24"), np.uint8))
        turn = _TURNS.get(self.rotation)
        return picture if turn is None else picture.transpose(turn)


class _Scaler:
    """One serves a whole video: to set one up costs more than to scale a frame."""

    def __init__(self, shorter_side_px: int) -> None:
        self._shorter_side_px = shorter_side_px
        self._to_small = VideoReformatter()
        self._to_signature = VideoReformatter()

    def small(self, frame: av.VideoFrame) -> _SmallFrame:
        """The frame with a shorter side no longer than asked for."""
        shrink = min(1.0, self._shorter_side_px / min(frame.width, frame.height))
        size_px = round(frame.width * shrink), round(frame.height * shrink)
        small = self._to_small.reformat(frame, *size_px, "yuv420p", interpolation=Interpolation.AREA, threads=1)
        return _SmallFrame(small, frame.rotation)

    def signature(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """What the frame looks like in few cells."""
        side_px = SIGNATURE_SIDE
        small = self._to_signature.reformat(
            frame, side_px, side_px, "rgb24", interpolation=Interpolation.AREA, threads=1
        )
        return np.asarray(small.to_ndarray(), np.uint8)


@dataclass(slots=True)
class _Survey:
    """When each frame begins to be shown, and what it looks like."""

    starts_s: list[float] = field(default_factory=list)
    signatures: list[NDArray[np.uint8]] = field(default_factory=list)
    kept: list[_SmallFrame] | None = field(default_factory=list)
    """All frames so far, or none if they are too much to keep."""
    kept_bytes: int = 0
    last_s: float = 0.0
    """How long the last frame says that it is shown; 0 if it does not."""

    def add(self, frame: av.VideoFrame, scaler: _Scaler) -> None:
        if frame.pts is None or frame.time_base is None:
            raise UndecodableError("not a readable video: a frame without a time")
        self.starts_s.append(float(frame.pts * frame.time_base))
        self.last_s = float(frame.duration * frame.time_base)
        self.signatures.append(scaler.signature(frame))
        if self.kept is not None:
            self.kept.append(scaler.small(frame))
            self.kept_bytes += sum(plane.buffer_size for plane in self.kept[-1].planes.planes)
            if self.kept_bytes > _KEPT_BYTES:
                self.kept = None

    def durations_s(self) -> list[float]:
        """How long each frame is shown: until the next one begins. The last stays at least as long as most."""
        lengths_s = np.diff(self.starts_s).clip(min=0.0)
        last_s = max(self.last_s, float(np.median(lengths_s)) if lengths_s.size else 0.0)
        return [*lengths_s.tolist(), last_s]

    def length_s(self) -> float:
        return sum(self.durations_s())


def _survey(body: bytes, media_type: str, limits: MediaLimits, scaler: _Scaler, deadline: Deadline) -> _Survey:
    survey = _Survey()
    with _opened(body, media_type, limits) as (container, stream):
        for frame in _decoded(container, stream, limits, deadline):
            survey.add(frame, scaler)
            _require_few(len(survey.starts_s), survey.starts_s[-1] - survey.starts_s[0], limits)
        promised_s = (container.duration or 0) / _MICROSECONDS
        if stream.duration and stream.time_base:  # the sound may be longer than the picture
            promised_s = float(stream.duration * stream.time_base)
        _require_promised(survey, stream.frames, promised_s, media_type)
    return survey


def _converted(chosen: Mapping[int, _SmallFrame]) -> Iterator[Frame]:
    for index, frame in chosen.items():
        yield _shown(index, frame.picture())


def _decoded_again(
    body: bytes, media_type: str, indices: list[int], limits: MediaLimits, scaler: _Scaler, deadline: Deadline
) -> Iterator[Frame]:
    with _opened(body, media_type, limits) as (container, stream):
        for index, frame in enumerate(_decoded(container, stream, limits, deadline)):
            if index in indices:
                yield _shown(index, scaler.small(frame).picture())
            if index == indices[-1]:
                return


@contextlib.contextmanager
def _opened(body: bytes, media_type: str, limits: MediaLimits) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its one video track, with nothing decoded. What libav raises inside becomes our errors."""
    av.logging.set_level(None)  # libav describes broken files at length, on the standard error of the whole process
    options = {
        "codec_whitelist": ",".join(_DECODERS),
        "err_detect": "explode",  # else damage is concealed with grey
        "ignore_editlist": "1",
        "max_pixels": str(limits.max_video_pixels + limits.max_video_pixels // 8 + _PADDING_PIXELS),
        "threads": "1",
    }
    with (
        _naming_errors(media_type),
        av.open(
            io.BytesIO(body), "r", format=_DEMUXERS[media_type], container_options=options, options=options
        ) as container,
    ):
        stream = _video_track(container, media_type)
        _require_few_pixels(stream.codec_context.width, stream.codec_context.height, limits)
        _require_few(stream.frames, (container.duration or 0) / _MICROSECONDS, limits)
        stream.codec_context.thread_count = 1
        yield container, stream


@contextlib.contextmanager
def _naming_errors(media_type: str) -> Iterator[None]:
    with decoding(media_type):
        try:
            yield
        except av.FFmpegError as error:
            # Most are also an OSError or a ValueError, some are of libav's own kinds.
            raise UndecodableError(f"not a readable {media_type}: {type(error).__name__}") from error


def _video_track(container: InputContainer, media_type: str) -> VideoStream:
    tracks = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
    if not tracks:
        raise UndecodableError(f"not a readable {media_type}: no video in it")
    if len(tracks) > 1:
        raise UnsupportedError(f"found {media_type} with {len(tracks)} video tracks, and only one is read")
    codec = tracks[0].codec_context.codec.canonical_name
    if codec not in _CODECS:
        raise UnsupportedError(f"found {media_type} with {codec}, and only H.264, HEVC, AV1, VP8 and VP9 are read")
    return tracks[0]


def _decoded(
    container: InputContainer, stream: VideoStream, limits: MediaLimits, deadline: Deadline
) -> Iterator[av.VideoFrame]:
    """Every frame, in the order and at the time of its presentation."""
    for packet in container.demux(stream):
        deadline.require("decoding")
        if packet.is_corrupt:
            raise UndecodableError("not a readable video: a damaged packet")
        for frame in packet.decode():
            if frame.is_corrupt:
                raise UndecodableError("not a readable video: a damaged frame")
            _require_few_pixels(frame.width, frame.height, limits)
            yield frame


def _require_few_pixels(width_px: int, height_px: int, limits: MediaLimits) -> None:
    if width_px * height_px > limits.max_video_pixels:
        raise TooLargeError(f"{width_px}x{height_px} pixels are more than {limits.max_video_pixels}")


def _require_few(frames: int, length_s: float, limits: MediaLimits) -> None:
    if frames > limits.max_frames_total:
        raise TooLargeError(f"{frames} frames are more than {limits.max_frames_total}")
    if length_s > limits.max_duration_s:
        raise TooLargeError(f"{length_s:.0f} seconds are more than {limits.max_duration_s:.0f}")


def _require_promised(survey: _Survey, frames: int, length_s: float, media_type: str) -> None:
    """Ask that as much was decoded as the container says (0 if it does not say): the rest would not be looked at."""
    decoded = len(survey.starts_s)
    kept = 1 - _TOLERATED_SHARE
    if not decoded or decoded < frames * kept - _TOLERATED_FRAMES:
        raise UndecodableError(f"not a readable {media_type}: {decoded} frames of {frames}")
    if survey.length_s() < length_s * kept - _TOLERATED_S:
        raise UndecodableError(f"not a readable {media_type}: {survey.length_s():.1f} of {length_s:.1f} seconds")


def _shown(index: int, picture: Image.Image) -> Frame:
    """A frame that is small already: no video is so large that it is tiled in two rows."""
    return Frame(index, picture, picture.size)
