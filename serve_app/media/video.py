"""Which frames of a video are looked at.

A first pass over all frames learns how long each stays and what it looks like. It keeps the frames at the size that
views need, while that is not too much memory (20 s of 16:9 at 25 frames a second are not); where it is, a second pass
decodes the chosen ones again.

Of several video tracks each is scanned: players do not agree which of them is shown. Frames with transparency are seen
over white and over black, those of HDR tone-mapped and as they stand, as stills are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from serve_app.domain import Deadline, TruncatedError, UndecodableError
from serve_app.domain.limits import MediaLimits
from serve_app.media.colour import as_rgb
from serve_app.media.frame_choice import SIGNATURE_SIDE, choose_frames
from serve_app.media.frames import Frame, FrameSample, joined
from serve_app.media.parsers.cicp import Cicp
from serve_app.media.parsers.video_container import is_whole
from serve_app.media.tone_mapping import CICP_INFO
from serve_app.media.video_track import VideoTrack, opened, require_few_frames

# How players turn by a display matrix: the degrees counter-clockwise that libav reads from it, and whether it mirrors.
# Browsers know no others.
_TRANSPOSITIONS = {
    (90, False): Image.Transpose.ROTATE_90,
    (180, False): Image.Transpose.ROTATE_180,
    (-180, False): Image.Transpose.ROTATE_180,
    (-90, False): Image.Transpose.ROTATE_270,
    (0, True): Image.Transpose.FLIP_TOP_BOTTOM,
    (90, True): Image.Transpose.TRANSVERSE,
    (180, True): Image.Transpose.FLIP_LEFT_RIGHT,
    (-180, True): Image.Transpose.FLIP_LEFT_RIGHT,
    (-90, True): Image.Transpose.TRANSPOSE,
}

# Frames are stored at this multiple of the view's size, on their shorter side, unless they are smaller.
_OVERSAMPLING = 1.5

_MAX_FRAMES_BYTES = 160 * 1024 * 1024

# Of libav's side data: AVContentLightMetadata begins with the brightest pixel's nits; AVMasteringDisplayMetadata holds
# ten fractions, of which the last is the screen's highest luminance, and says with its last number whether it has it.
_LIGHT = struct.Struct("=I")
_SCREEN = struct.Struct("=72x2i4xi")
_MATRIX = struct.Struct("=2i4x2i")
"""Of nine numbers, the four that turn, mirror and scale."""


def sample_video(
    body: bytes,
    media_type: str,
    limits: MediaLimits,
    view_size_px: int,
    deadline: Deadline,
    is_lenient: bool = False,
) -> FrameSample:
    """The frames of an MP4 or a WebM that are looked at, turned as players turn them, no larger than views need.

    The tracks of an image sequence (HEIC) are read as those of an MP4.

    Raises:
        UndecodableError: it has no video track, is damaged, or holds less than it promises.
        TruncatedError: its end is missing; where ``is_lenient``, so much of it that no frame is left.
        UnsupportedError: its codec is none that we read, or it has too many video tracks.
        TooLargeError: more pixels, frames or seconds than ``limits`` allow.
        DeadlineExceededError: no time is left; asked before each frame. As the frames are iterated, too.
    """
    is_cut = not is_whole(body, media_type)
    if is_cut and not is_lenient:
        raise TruncatedError(f"not a readable {media_type}: it breaks off")
    scaler = _Scaler(round(view_size_px * _OVERSAMPLING))
    try:
        first, tracks = _sample_track(_Source(body, media_type, 0, limits, is_cut), scaler, deadline)
        others = [
            _sample_track(_Source(body, media_type, number, limits, is_cut), scaler, deadline)[0]
            for number in range(1, tracks)
        ]
    except UndecodableError as error:
        if is_cut:
            raise TruncatedError(f"not a readable {media_type}: it breaks off before its first frame") from error
        raise
    return joined([first, *others])


@dataclass(frozen=True, slots=True)
class _Source:
    """One track of a file. A cut one ends without an error at the first frame that cannot be read."""

    body: bytes
    media_type: str
    number: int
    limits: MediaLimits
    is_cut: bool

    def frames(self, deadline: Deadline) -> Iterator[tuple[VideoTrack, av.VideoFrame]]:
        """Every frame with the track it is of.

        Raises:
            UndecodableError: as :func:`opened`; of a cut file only if there is no frame at all.
        """
        frames = 0
        try:
            with opened(self.body, self.media_type, self.limits, self.number) as track:
                for frame in track.frames(deadline):
                    frames += 1
                    yield track, frame
        except UndecodableError:
            if not self.is_cut or not frames:
                raise


def _sample_track(source: _Source, scaler: _Scaler, deadline: Deadline) -> tuple[FrameSample, int]:
    """The frames of one track that are looked at, and how many tracks share the places for them."""
    survey = _survey(source, scaler, deadline)
    max_frames = max(1, source.limits.max_frames // survey.tracks)
    indices = choose_frames(survey.durations_s(), np.stack(survey.signatures), max_frames)
    if survey.frames is not None:
        frames = _converted({index: survey.frames[index] for index in indices})
    else:
        frames = _decoded_again(source, indices, scaler, deadline)
    return FrameSample(len(survey.starts_s), tuple(indices), frames), survey.tracks


@dataclass(frozen=True, slots=True)
class _SmallFrame:
    """A frame no larger than views need, as it lies in the file, in half the bytes that RGB would take."""

    planes: av.VideoFrame
    transposition: Image.Transpose | None
    cicp: Cicp
    is_alpha_disputed: bool

    def pictures(self) -> Iterator[Image.Image]:
        """Upright, in RGB, once per reading."""
        pixel_formats = ["rgba" if _has_alpha(self.planes) else "rgb24"]
        if self.is_alpha_disputed:
            pixel_formats.append("rgb24")
        for pixel_format in pixel_formats:
            picture = Image.fromarray(np.asarray(self.planes.to_ndarray(format=pixel_format), np.uint8))
            picture.info[CICP_INFO] = self.cicp
            yield from as_rgb(picture if self.transposition is None else picture.transpose(self.transposition))


class _Scaler:
    """One serves a whole video: to set one up costs more than to scale a frame."""

    def __init__(self, shorter_side_px: int) -> None:
        self._shorter_side_px = shorter_side_px
        self._to_small = VideoReformatter()
        self._to_signature = VideoReformatter()

    def small(self, frame: av.VideoFrame, track: VideoTrack) -> _SmallFrame:
        """The frame with a shorter side no longer than asked for."""
        shrink = min(1.0, self._shorter_side_px / min(frame.width, frame.height))
        size_px = max(1, round(frame.width * shrink)), max(1, round(frame.height * shrink))
        pixel_format = "yuva420p" if _has_alpha(frame) else "yuv420p"
        small = self._to_small.reformat(frame, *size_px, pixel_format, interpolation=Interpolation.AREA, threads=1)
        return _SmallFrame(small, _turn_of(frame), _cicp_of(frame), track.is_alpha_disputed)

    def signature(self, frame: av.VideoFrame, track: VideoTrack) -> NDArray[np.uint8]:
        """What the frame looks like in few cells; a transparent one over white, over black and, if disputed, opaque."""
        side_px = SIGNATURE_SIDE
        pixel_format = "rgba" if track.has_alpha else "rgb24"
        small = self._to_signature.reformat(
            frame, side_px, side_px, pixel_format, interpolation=Interpolation.AREA, threads=1
        )
        cells = np.asarray(small.to_ndarray(), np.uint8)
        if not track.has_alpha:
            return cells
        alpha = cells[..., 3:].astype(np.uint16)
        over_black = cells[..., :3] * alpha // 255
        readings = [over_black + (255 - alpha), over_black, *[cells[..., :3]] * track.is_alpha_disputed]
        return np.concatenate(readings).astype(np.uint8)


def _has_alpha(frame: av.VideoFrame) -> bool:
    return frame.format.name.startswith("yuva")


def _turn_of(frame: av.VideoFrame) -> Image.Transpose | None:
    matrix = _side_data(frame).get(Type.DISPLAYMATRIX)
    right_x, right_y, down_x, down_y = _MATRIX.unpack_from(matrix) if matrix else (1, 0, 0, 1)
    return _TRANSPOSITIONS.get((frame.rotation, right_x * down_y < right_y * down_x))


def _cicp_of(frame: av.VideoFrame) -> Cicp:
    cicp = Cicp(frame.color_primaries, frame.color_trc)
    return replace(cicp, peak_nits=_peak_nits(frame)) if cicp.is_hdr else cicp


def _peak_nits(frame: av.VideoFrame) -> float:
    """The luminance of the video's brightest pixel, or of the screen that it was made on; 0 if it does not say."""
    found = _side_data(frame)
    light, screen = found.get(Type.CONTENT_LIGHT_LEVEL), found.get(Type.MASTERING_DISPLAY_METADATA)
    nits = float(_LIGHT.unpack_from(light)[0]) if light is not None else 0.0
    if not nits and screen is not None:
        numerator, denominator, is_stated = _SCREEN.unpack_from(screen)
        nits = numerator / denominator if is_stated and denominator else 0.0
    return nits


def _side_data(frame: av.VideoFrame) -> dict[Type, bytes]:
    try:
        container = cast(SideDataContainer, frame.side_data)  # PyAV's own annotation knows one kind of it
    except ValueError:
        return {}  # side data of a kind that PyAV has no name for
    every = [container[number] for number in range(len(container))]
    return {each.type: bytes(each) for each in every}


@dataclass(slots=True)
class _Survey:
    """When each frame begins to be shown, and what it looks like."""

    starts_s: list[float] = field(default_factory=list)
    signatures: list[NDArray[np.uint8]] = field(default_factory=list)
    frames: list[_SmallFrame] | None = field(default_factory=list)
    """All frames so far, or none if they are too many for the memory."""
    frames_bytes: int = 0
    last_s: float = 0.0
    """How long the last frame says that it is shown; 0 if it does not."""
    tracks: int = 1
    """How many video tracks the file has."""

    def add(self, frame: av.VideoFrame, scaler: _Scaler, track: VideoTrack) -> None:
        if frame.pts is None or frame.time_base is None:
            raise UndecodableError("not a readable video: a frame without a time")
        self.starts_s.append(float(frame.pts * frame.time_base))
        self.last_s = float(frame.duration * frame.time_base)
        self.signatures.append(scaler.signature(frame, track))
        if self.frames is not None:
            self.frames.append(scaler.small(frame, track))
            self.frames_bytes += sum(plane.buffer_size for plane in self.frames[-1].planes.planes)
            if self.frames_bytes > _MAX_FRAMES_BYTES:
                self.frames = None

    def durations_s(self) -> list[float]:
        """How long each frame is shown: until the next one begins. The last stays at least as long as most."""
        lengths_s = np.diff(self.starts_s).clip(min=0.0)
        last_s = max(self.last_s, float(np.median(lengths_s)) if lengths_s.size else 0.0)
        return [*lengths_s.tolist(), last_s]

    def length_s(self) -> float:
        return sum(self.durations_s())


def _survey(source: _Source, scaler: _Scaler, deadline: Deadline) -> _Survey:
    survey = _Survey()
    track = None
    for track, frame in source.frames(deadline):
        survey.add(frame, scaler, track)
        require_few_frames(len(survey.starts_s), survey.starts_s[-1] - survey.starts_s[0], source.limits)
    if track is None:
        raise UndecodableError(f"not a readable {source.media_type}: no frame in it")
    survey.tracks = track.tracks
    if not source.is_cut:
        track.require_promised(len(survey.starts_s), survey.length_s(), source.media_type)
    return survey


def _converted(chosen: Mapping[int, _SmallFrame]) -> Iterator[Frame]:
    for index, frame in chosen.items():
        yield from _shown(index, frame)


def _decoded_again(source: _Source, indices: list[int], scaler: _Scaler, deadline: Deadline) -> Iterator[Frame]:
    for index, (track, frame) in enumerate(source.frames(deadline)):
        if index in indices:
            yield from _shown(index, scaler.small(frame, track))
        if index == indices[-1]:
            return


def _shown(index: int, frame: _SmallFrame) -> Iterator[Frame]:
    """A frame that is small already: no video is so large that it is tiled in two rows."""
    for picture in frame.pictures():
        yield Frame(index, picture, picture.size)
