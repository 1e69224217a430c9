"""MP4 and WebM, by libav's encoders."""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.e2e.browser.generated.drawing import Makers, draw, draw_other
from tests.e2e.browser.generated.hdr import graded
from tests.e2e.browser.generated.libav import (
    BT601,
    BT709,
    BT2020,
    FULL,
    HLG,
    PQ,
    SIZE_PX,
    SRGB,
    STANDARD,
    UNSPECIFIED,
    Colours,
    frame_of,
)
from tests.usual_priority import usual_priority

_FRAMES_PER_S = 10
_SHOWN_FRAMES = 8

_ENCODERS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "veryfast", "crf": "10"},
    "libx265": {"preset": "ultrafast", "crf": "10", "x265-params": "log-level=none:pools=none"},
    "libsvtav1": {"preset": "10", "crf": "10"},
    "libvpx": {"deadline": "realtime", "crf": "4", "b": "2M", "auto-alt-ref": "0"},
    "libvpx-vp9": {"deadline": "realtime", "crf": "10", "b": "0", "auto-alt-ref": "0"},
    "libx264rgb": {"preset": "veryfast", "crf": "10"},
}
"""Name of the encoder: options that make it quick, and keep the drawing's colours."""

_NAMES = {"libx264": "h264", "libx265": "hevc", "libsvtav1": "av1", "libvpx": "vp8", "libvpx-vp9": "vp9"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Video:
    """The drawing for one frame, or for more, and another picture for the rest of :data:`_SHOWN_FRAMES`."""

    encoder: str
    container: str
    pixel_format: str = "yuv420p"
    size_px: tuple[int, int] = SIZE_PX
    colours: Colours = STANDARD
    options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)
    frames: int = _SHOWN_FRAMES
    first_frame_at: int = 0
    sound_s: float = 0.0
    sample_shape: Fraction | None = None
    tags: dict[str, str] = field(default_factory=dict)
    other_tracks: int = 0
    """Further tracks, with another picture."""
    is_graded: bool = False
    """Whether it is drawn as :mod:`tests.e2e.browser.generated.hdr` has it."""

    def __call__(self) -> bytes:
        # Some ways of writing read the file again, which libav does by its name only.
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"drawn.{self.container}")
            self._write(str(file))
            return file.read_bytes()

    def _write(self, path: str) -> None:
        with usual_priority(), av.open(path, "w", format=self.container, options=self.container_options) as container:
            stream = self._add_stream(container)
            others = [self._add_stream(container) for _ in range(self.other_tracks)]
            sound = self._add_sound(container) if self.sound_s else None
            mode = "RGBA" if self.pixel_format == "yuva420p" else "RGB"
            for number in range(self.frames):
                picture = (draw if number < self.frames / 2 else draw_other)(self.size_px, mode)
                picture = graded(picture) if self.is_graded else picture
                at = self.first_frame_at + number
                frame = frame_of(picture, self.pixel_format, self.colours, at, _FRAMES_PER_S)
                container.mux(stream.encode(frame))
                for other in others:
                    hidden = draw_other(self.size_px, mode)
                    container.mux(other.encode(frame_of(hidden, self.pixel_format, self.colours, at, _FRAMES_PER_S)))
            for each in (stream, *others):
                container.mux(each.encode(None))
            if sound is not None:
                self._write_sound(container, sound)

    def _add_stream(self, container: Any) -> Any:
        options = {**_ENCODERS[self.encoder], **self.options}
        stream: Any = container.add_stream(self.encoder, rate=_FRAMES_PER_S, options=options)
        stream.width, stream.height = self.size_px
        stream.pix_fmt = self.pixel_format
        stream.time_base = Fraction(1, _FRAMES_PER_S)
        codec = stream.codec_context
        codec.thread_count = 1
        self.colours.state(codec)
        if self.sample_shape is not None:
            codec.sample_aspect_ratio = self.sample_shape
        stream.metadata.update(self.tags)
        return stream

    def _add_sound(self, container: Any) -> Any:
        stream = container.add_stream("libopus" if self.container == "webm" else "aac", rate=48_000)
        stream.layout = "mono"
        return stream

    def _write_sound(self, container: Any, stream: Any) -> None:
        for at in range(0, round(self.sound_s * 48_000), 960):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), "s16", "mono")
            frame.pts, frame.rate, frame.time_base = at, 48_000, Fraction(1, 48_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


_MATRICES = {
    "turned-90": (0, 1, -1, 0),
    "turned-180": (-1, 0, 0, -1),
    "turned-270": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside-down": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transversed": (0, -1, -1, 0),
}
"""Name: where a display matrix lets one step to the right and one down lead to."""


def _turned(video: _Video, name: str) -> bytes:
    """An MP4 with the display matrix of that name."""
    body = bytearray(video())
    right_x, right_y, down_x, down_y = (number << 16 for number in _MATRICES[name])
    at = body.index(b"tkhd") + 4 + 40
    struct.pack_into(">9i", body, at, right_x, right_y, 0, down_x, down_y, 0, 0, 0, 1 << 30)
    return bytes(body)


def codecs() -> Makers:
    """Each codec in each container, with each subsampling and depth that its encoder writes."""
    for encoder, container, pixel_formats in (
        ("libx264", "mp4", ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuvj420p")),
        ("libx265", "mp4", ("yuv420p", "yuv420p10le")),
        ("libsvtav1", "mp4", ("yuv420p", "yuv420p10le")),
        ("libvpx-vp9", "mp4", ("yuv420p", "yuv444p")),
        ("libsvtav1", "webm", ("yuv420p", "yuv420p10le")),
        ("libvpx", "webm", ("yuv420p", "yuva420p")),
        ("libvpx-vp9", "webm", ("yuv420p", "yuv422p", "yuv444p", "yuva420p")),
    ):
        for pixel_format in pixel_formats:
            name = f"{container}-{_NAMES[encoder]}-{pixel_format}.{container}"
            yield name, _Video(encoder=encoder, container=container, pixel_format=pixel_format)
    for encoder, container in (("libx264", "mp4"), ("libvpx", "webm"), ("libvpx-vp9", "webm")):
        kind = f"{container}-{_NAMES[encoder]}"
        yield f"{kind}-one-frame.{container}", _Video(encoder=encoder, container=container, frames=1)
        yield f"{kind}-1000x72.{container}", _Video(encoder=encoder, container=container, size_px=(1000, 72))
        yield f"{kind}-98x70.{container}", _Video(encoder=encoder, container=container, size_px=(98, 70))
        yield f"{kind}-sound.{container}", _Video(encoder=encoder, container=container, sound_s=0.8)
        yield f"{kind}-sound-outlasts-picture.{container}", _Video(encoder=encoder, container=container, sound_s=6.0)
        yield f"{kind}-begins-late.{container}", _Video(encoder=encoder, container=container, first_frame_at=7)
        wide = Fraction(2, 1)
        yield f"{kind}-two-tracks.{container}", _Video(encoder=encoder, container=container, other_tracks=1)
        yield f"{kind}-wide-pixels.{container}", _Video(encoder=encoder, container=container, sample_shape=wide)
    for encoder in ("libvpx", "libvpx-vp9"):
        for says, name in (("1", "tagged"), ("0", "tagged-opaque")):
            # The muxer also writes it in capitals, which is how it is found again.
            tagged = _Video(encoder=encoder, container="webm", pixel_format="yuva420p", tags={"alpha_mode": says})
            yield f"webm-{_NAMES[encoder]}-yuva420p-{name}.webm", tagged
    yield "webm-vp8-odd-size.webm", _Video(encoder="libvpx", container="webm", size_px=(97, 71))
    yield "webm-vp9-odd-size.webm", _Video(encoder="libvpx-vp9", container="webm", size_px=(97, 71))


def colours() -> Makers:
    """Matrices, ranges, primaries and transfer functions."""
    kinds = {
        "bt601": Colours(BT601, BT601, BT601),
        "unspecified": Colours(UNSPECIFIED, UNSPECIFIED, UNSPECIFIED),
        "full-range": Colours(extent=FULL),
        "display-p3": Colours(12, SRGB, BT709),
        "bt2020": Colours(BT2020, 14, BT2020),
        "pq": Colours(BT2020, PQ, BT2020),
        "hlg": Colours(BT2020, HLG, BT2020),
    }
    for name, code in kinds.items():
        for encoder, container, pixel_format in (
            ("libx264", "mp4", "yuv420p"),
            ("libx264", "mp4", "yuv420p10le"),
            ("libx265", "mp4", "yuv420p10le"),
            ("libsvtav1", "mp4", "yuv420p10le"),
            ("libsvtav1", "webm", "yuv420p10le"),
            ("libvpx-vp9", "webm", "yuv420p"),
        ):
            depth_bits = 10 if "10" in pixel_format else 8
            kind = f"{container}-{_NAMES[encoder]}-{depth_bits}-bit-{name}.{container}"
            yield kind, _Video(encoder=encoder, container=container, pixel_format=pixel_format, colours=code)
    pq = Colours(BT2020, PQ, BT2020)
    for encoder, container in (("libx264", "mp4"), ("libvpx-vp9", "webm")):
        name = f"{container}-{_NAMES[encoder]}-pq-graded.{container}"
        yield name, _Video(encoder=encoder, container=container, colours=pq, is_graded=True)
    yield (
        "mp4-h264-rgb.mp4",
        _Video(encoder="libx264rgb", container="mp4", pixel_format="rgb24", colours=Colours(matrix=0, extent=FULL)),
    )


def containers() -> Makers:
    """Ways of writing MP4 and WebM."""
    h264 = partial(_Video, encoder="libx264", container="mp4")
    for name in _MATRICES:
        yield f"mp4-h264-{name}.mp4", partial(_turned, h264(), name)
        yield f"mp4-av1-{name}.mp4", partial(_turned, _Video(encoder="libsvtav1", container="mp4"), name)
    yield "mp4-h264-index-ahead.mp4", h264(container_options={"movflags": "faststart"})
    yield "mp4-h264-fragments.mp4", h264(container_options={"movflags": "frag_keyframe+empty_moov+default_base_moof"})
    yield "mp4-h264-interlaced.mp4", h264(options={"x264-params": "interlaced=1"})
    yield "mp4-h264-without-b-frames.mp4", h264(options={"bf": "0"})
    yield "mp4-h264-without-edit-list.mp4", h264(container_options={"use_editlist": "0"})
    yield "mp4-h264-garbage-behind.mp4", lambda: h264()() + b"drawn" * 100
    yield "mp4-h264-cut.mp4", lambda: h264(container_options={"movflags": "faststart"})()[:-20]
    vp8 = partial(_Video, encoder="libvpx", container="webm")
    yield "webm-vp8-live.webm", vp8(container_options={"live": "1"})
    yield "webm-vp8-cues-ahead.webm", vp8(container_options={"cues_to_front": "1"})
    yield "webm-vp8-garbage-behind.webm", lambda: vp8()() + b"drawn" * 100
    yield "webm-vp8-cut.webm", lambda: vp8()()[:-400]


def files() -> Makers:
    """All of them."""
    yield from codecs()
    yield from colours()
    yield from containers()
