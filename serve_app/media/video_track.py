"""One video track of an MP4 or a WebM, decoded frame by frame by libav (PyAV), and what of it should have come.

Every frame is decoded, on one thread: to skip frames would be to miss what stays in between. Damage is an error, and
never concealed. Transparency is in WebM a second, hidden picture of each frame; libvpx decodes it, libav's own decoders
leave it out. Where a tag and an element of the file contradict each other about it, players show one or the other.

Edit lists are ignored, so that what they hide is seen: a player that does not honour them would show it. Cover pictures
are left out.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import av
import av.logging
from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from serve_app.domain import Deadline, TooLargeError, TruncatedError, UndecodableError, UnsupportedError
from serve_app.domain.limits import MediaLimits
from serve_app.media.decoder_errors import decoding
from serve_app.media.parsers.hevc import LeadingPictures
from serve_app.media.parsers.video_container import alpha_elements

VIDEO_TYPES = frozenset({"video/mp4", "video/webm"})

# libav's name of the one demuxer that may read each type: bytes of one type are never read as another. The tracks of an
# image sequence lie in boxes as those of an MP4 do.
_DEMUXERS = {"video/webm": "webm"}

# libav has decoders for hundreds of codecs, few of which anyone attacks on purpose but us. Only these are ever opened.
_CODECS = frozenset({"h264", "hevc", "av1", "vp8", "vp9"})
_DECODERS = ("h264", "hevc", "libdav1d", "av1", "vp8", "vp9")
_DECODERS_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}

_MAX_TRACKS = 4

# What a file promises may differ from what is decoded by rounding, and by a frame at each end.
_TOLERATED_SHARE = 0.05
_TOLERATED_FRAMES = 2
_TOLERATED_S = 0.5

# Codecs pad frames to whole blocks. libav's own limit counts the padding, ours does not.
_PADDING_PIXELS = 128 * 128

_MICROSECONDS = 1_000_000


@dataclass(slots=True)
class Demuxed:
    """What the container held, to be compared with what was decoded."""

    end_s: float = 0.0
    """When the last packet of any track ends, sound included, counted from the first of any."""
    video_end_s: float = 0.0
    """When the last packet of this track ends, counted from its first."""
    never_shown: int = 0
    """Frames of this track that no player shows, since the picture that they refer to is not in the file."""


class VideoTrack:
    """A track of an open container, to be decoded once. What libav told of it is copied, and outlives the container.

    ``tracks`` is how many video tracks the file has. Players do not agree which of several they show.
    ``alphas`` is whether it has transparency, in the words of each place that says so; players read one or another.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, tracks: int, alphas: set[bool], limits: MediaLimits
    ) -> None:
        self.tracks = tracks
        self._container = container
        self._stream = stream
        self._limits = limits
        self._stated_frames = stream.frames
        self._start_s = (container.start_time or 0) / _MICROSECONDS
        # A WebM counts its length from zero, even if its first packet comes later.
        begin_s = self._start_s if "webm" in container.format.name else 0.0
        self._stated_s = (container.duration or 0) / _MICROSECONDS - begin_s
        self._leading = LeadingPictures(stream.codec_context.extradata or b"") if _codec_of(stream) == "hevc" else None
        self.demuxed = Demuxed()
        self.has_alpha = _codec_of(stream) in _DECODERS_WITH_ALPHA and True in alphas
        self.is_alpha_disputed = len(alphas) > 1

    def frames(self, deadline: Deadline) -> Iterator[av.VideoFrame]:
        """Every frame, in the order and at the time of its presentation.

        Raises:
            UndecodableError: a packet or a frame is damaged.
            TooLargeError: a frame is larger than the header said.
            DeadlineExceededError: no time is left; asked before each packet.
        """
        decoder = self._open_decoder()
        for packet in self._container.demux():
            deadline.require("decoding")
            self._count(packet)
            if packet.stream is not self._stream:
                continue
            if packet.is_corrupt:
                raise UndecodableError("not a readable video: a damaged packet")
            for frame in decoder.decode(packet):
                if frame.is_corrupt:
                    raise UndecodableError("not a readable video: a damaged frame")
                _require_few_pixels(frame.width, frame.height, self._limits)
                yield frame

    def require_promised(self, frames: int, length_s: float, media_type: str) -> None:
        """Ask that as much was decoded as the container says, as far as it says: the rest would not be scanned.

        Raises:
            UndecodableError: fewer frames than are in the file.
            TruncatedError: the file itself ends earlier than it says.
        """
        least_share = 1 - _TOLERATED_SHARE
        stated = self._stated_frames - self.demuxed.never_shown
        if not frames or frames < stated * least_share - _TOLERATED_FRAMES:
            raise UndecodableError(f"not a readable {media_type}: {frames} frames of {max(stated, 1)}")
        if length_s < self.demuxed.video_end_s * least_share - _TOLERATED_S:
            raise UndecodableError(
                f"not a readable {media_type}: {length_s:.1f} of {self.demuxed.video_end_s:.1f} seconds"
            )
        if not self._stated_frames and self.demuxed.end_s < self._stated_s * least_share - _TOLERATED_S:
            # Sound may go on after the picture, so that all tracks together must be as long as the file says.
            raise TruncatedError(
                f"not a readable {media_type}: {self.demuxed.end_s:.1f} of {self._stated_s:.1f} seconds"
            )

    def _open_decoder(self) -> VideoCodecContext:
        if not self.has_alpha:
            self._stream.codec_context.thread_count = 1
            return self._stream.codec_context
        name = _DECODERS_WITH_ALPHA[_codec_of(self._stream)]
        decoder = cast(VideoCodecContext, CodecContext.create(name, "r"))
        decoder.thread_count = 1
        decoder.options = _codec_options(self._limits)
        return decoder

    def _count(self, packet: Packet[Stream]) -> None:
        if packet.pts is None or packet.time_base is None:
            return
        end = packet.pts + (packet.duration or 0)
        self.demuxed.end_s = max(self.demuxed.end_s, float(end * packet.time_base) - self._start_s)
        if packet.stream is self._stream:
            length_s = float((end - (packet.stream.start_time or 0)) * packet.time_base)
            self.demuxed.video_end_s = max(self.demuxed.video_end_s, length_s)
            if self._leading is not None:
                self.demuxed.never_shown += self._leading.is_skipped(bytes(packet))


@contextlib.contextmanager
def opened(body: bytes, media_type: str, limits: MediaLimits, number: int = 0) -> Iterator[VideoTrack]:
    """A track, with nothing decoded: the first, or the one of that ``number`` from 0 on.

    What libav raises inside becomes our errors.

    Raises:
        UndecodableError: it has no video track, or is damaged.
        UnsupportedError: its codec is none that we read, or it has too many tracks.
        TooLargeError: it says that it has more pixels, frames or seconds than ``limits`` allow.
    """
    with _container(body, media_type, limits) as container:
        streams = _video_tracks(container, media_type)
        stream = streams[number]
        _require_few_pixels(stream.codec_context.width, stream.codec_context.height, limits)
        require_few_frames(stream.frames, _stated_s(container, stream), limits)
        yield VideoTrack(container, stream, len(streams), _alphas(body, stream), limits)


def _alphas(body: bytes, stream: VideoStream) -> set[bool]:
    """Whether the track has transparency, as libav has it (from a tag, else from an element) and as the elements say.

    A tag's name is written in any case, and hides the element from who asks libav.
    """
    if _codec_of(stream) not in _DECODERS_WITH_ALPHA:
        return {False}
    by_libav = any(name.lower() == "alpha_mode" and value == "1" for name, value in stream.metadata.items())
    return {by_libav} | (alpha_elements(body) or {False})


def require_few_frames(frames: int, length_s: float, limits: MediaLimits) -> None:
    """Ask that a track is no longer than we can take.

    Raises:
        TooLargeError: it is.
    """
    if frames > limits.max_frames_total:
        raise TooLargeError(f"{frames} frames are more than {limits.max_frames_total}")
    if length_s > limits.max_duration_s:
        raise TooLargeError(f"{length_s:.0f} seconds are more than {limits.max_duration_s:.0f}")


def _stated_s(container: InputContainer, stream: VideoStream) -> float:
    """The length of the track as far as the file says it, else of the whole file."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    # Sound that goes on longer says nothing of the picture.
    return (container.duration or 0) / _MICROSECONDS if len(container.streams) == 1 else 0.0


@contextlib.contextmanager
def _container(body: bytes, media_type: str, limits: MediaLimits) -> Iterator[InputContainer]:
    av.logging.set_level(None)  # libav describes broken files at length, on the standard error of the whole process
    options = {"codec_whitelist": ",".join(_DECODERS), "ignore_editlist": "1", **_codec_options(limits)}
    demuxer = _DEMUXERS.get(media_type, "mp4")
    with (
        _naming_errors(media_type),
        av.open(io.BytesIO(body), "r", format=demuxer, container_options=options, options=options) as container,
    ):
        yield container


def _codec_options(limits: MediaLimits) -> dict[str, str]:
    return {
        "err_detect": "explode",  # else damage is concealed with grey
        "max_pixels": str(limits.max_video_pixels + limits.max_video_pixels // 8 + _PADDING_PIXELS),
        "threads": "1",
    }


@contextlib.contextmanager
def _naming_errors(media_type: str) -> Iterator[None]:
    with decoding(media_type):
        try:
            yield
        except av.FFmpegError as error:
            # Most are also an OSError or a ValueError, some are of libav's own kinds.
            raise UndecodableError(f"not a readable {media_type}") from error


def _video_tracks(container: InputContainer, media_type: str) -> list[VideoStream]:
    tracks = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
    if media_type not in VIDEO_TYPES:
        # libav lists the stills as well, each as a track of one frame that lasts for no time.
        tracks = [each for each in tracks if each.duration is not None or each.frames != 1]
    if not tracks:
        raise UndecodableError(f"not a readable {media_type}: no video in it")
    if len(tracks) > _MAX_TRACKS:
        raise UnsupportedError(f"unsupported: {media_type} with {len(tracks)} video tracks; at most {_MAX_TRACKS}")
    for each in tracks:
        if (codec := _codec_of(each)) not in _CODECS:
            raise UnsupportedError(f"unsupported: {media_type} with {codec}; supported: H.264, HEVC, AV1, VP8, VP9")
    return tracks


def _codec_of(stream: VideoStream) -> str:
    return stream.codec_context.codec.canonical_name


def _require_few_pixels(width_px: int, height_px: int, limits: MediaLimits) -> None:
    if width_px * height_px > limits.max_video_pixels:
        raise TooLargeError(f"{width_px}x{height_px} pixels are more than {limits.max_video_pixels}")
