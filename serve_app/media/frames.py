"""Which frames of a picture are looked at: the one of a still, a sample over the length of an animation.

An animation of more frames than may be looked at is decoded twice, frame by frame: once to learn how long each frame
stays and what it looks like, once for the chosen ones. No more than one frame is in memory at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from serve_app.domain import Deadline, TruncatedError
from serve_app.domain.limits import MediaLimits
from serve_app.media.colour import as_rgb
from serve_app.media.decoder_errors import DECODER_ERRORS
from serve_app.media.frame_choice import SIGNATURE_SIDE, choose_frames
from serve_app.media.orientation import orientations_of, turned
from serve_app.media.pictures import require_few_pixels

# Chrome and Firefox both show a frame of 10 ms or less for 100 ms, whatever the format.
_SHORTEST_MS = 10.0
_INSTEAD_S = 0.1


_ENDS_EARLY = "image file is truncated"
"""Pillow's words for pixels that end early. Of a PNG they may, even where its last chunk is there."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An upright RGB picture, and the index of the frame it was in its media.

    A frame is given once per reading (background, colours, way up), each with the same index. ``full_size_px`` is its
    size before it was shrunk, either side first.
    """

    index: int
    picture: Image.Image
    full_size_px: tuple[int, int]


@dataclass(frozen=True, slots=True)
class FrameSample:
    """The frames that are looked at: ``indices`` of ``total``. ``frames`` decodes them as it is iterated, once."""

    total: int
    indices: tuple[int, ...]
    frames: Iterator[Frame]


def joined(samples: Sequence[FrameSample]) -> FrameSample:
    """Several samples of one file, as if the frames of each followed those of the one before."""
    firsts = list(itertools.accumulate((sample.total for sample in samples), initial=0))
    return FrameSample(
        firsts[-1],
        tuple(first + index for first, sample in zip(firsts, samples, strict=False) for index in sample.indices),
        (
            replace(frame, index=first + frame.index)
            for first, sample in zip(firsts, samples, strict=False)
            for frame in sample.frames
        ),
    )


def sample_frames(
    open_anew: Callable[[], Image.Image],
    limits: MediaLimits,
    deadline: Deadline,
    shrink: Callable[[Image.Image], Image.Image] = lambda picture: picture,
    is_lenient: bool = False,
) -> FrameSample:
    """The frames of a still or an animation that are looked at, decoded one at a time.

    Args:
        open_anew: opens the picture, with no frame decoded, each time it is called.
        limits: how many frames may be looked at, and how large each may be.
        deadline: asked before each frame.
        shrink: takes what no view can show out of a decoded frame, before its colours are worked on at full size.
        is_lenient: take frames as far as they can be decoded, and none of those behind the first that cannot.

    Raises:
        TooLargeError: a frame is larger than the header said.
        TruncatedError: a whole PNG lacks its last rows. As the frames are iterated.
        DeadlineExceededError: no time is left. As the frames are iterated, too.
        Exception: whatever the decoder raises; the caller stands in :func:`serve_app.media.pictures.decoding`.
    """
    walk = _Walk(limits, deadline, is_lenient)
    picture = open_anew()
    total = _frames_total(picture)
    indices = list(range(total)) if total <= limits.max_frames else _choose(open_anew(), walk, limits.max_frames)
    return FrameSample(total, tuple(indices), _chosen(picture, indices, walk, shrink))


def shown_s(duration_ms: float) -> float:
    """How long a browser shows a frame whose file says ``duration_ms``."""
    return duration_ms / 1000 if duration_ms > _SHORTEST_MS else _INSTEAD_S


def _frames_total(picture: Image.Image) -> int:
    return int(getattr(picture, "n_frames", 1))


def _choose(picture: Image.Image, walk: _Walk, max_frames: int) -> list[int]:
    durations_s: list[float] = []
    signatures: list[NDArray[np.uint8]] = []
    for _ in walk.decoded(picture, range(_frames_total(picture))):
        durations_s.append(shown_s(float(picture.info.get("duration") or 0)))
        signatures.append(_signature(picture))
    return choose_frames(durations_s, np.stack(signatures), max_frames) if signatures else [0]


def _chosen(
    picture: Image.Image, indices: list[int], walk: _Walk, shrink: Callable[[Image.Image], Image.Image]
) -> Iterator[Frame]:
    for at, orientations in walk.decoded(picture, indices):
        for rgb in as_rgb(shrink(picture)):
            for upright in turned(rgb, orientations):
                yield Frame(at, upright, picture.size)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Goes through the frames of a picture, one by one: to decode a later one, those before it are needed too."""

    limits: MediaLimits
    deadline: Deadline
    is_lenient: bool

    def decoded(self, picture: Image.Image, indices: Collection[int]) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Decode each frame of ``indices`` in turn; its number and the orientations in which it is shown."""
        for at in range(max(indices) + 1):
            self.deadline.require("decoding")
            try:
                if at:
                    picture.seek(at)
                    require_few_pixels(picture, self.limits)
                if at not in indices:
                    continue
                orientations = orientations_of(picture)
                self._load(picture)
            except DECODER_ERRORS as error:
                if not self.is_lenient or isinstance(error, MemoryError):
                    raise
                return
            yield at, orientations

    def _load(self, picture: Image.Image) -> None:
        try:
            picture.load()
        except DECODER_ERRORS as error:
            if not self.is_lenient and picture.format == "PNG" and str(error).startswith(_ENDS_EARLY):
                raise TruncatedError("the last rows of this image/png are missing") from error
            if not self.is_lenient or not isinstance(picture, ImageFile.ImageFile):
                raise
            # Without anything left to decode, Pillow takes the rows that it has; if it has none, it raises again.
            picture.tile = []
            picture.load()


def _signature(picture: Image.Image) -> NDArray[np.uint8]:
    """What the frame looks like in few cells, over both backgrounds: ``(2 * SIGNATURE_SIDE, SIGNATURE_SIDE, 3)``."""
    # Numbers of colours cannot be averaged, colours can.
    colours = picture.convert("RGBA") if picture.mode in ("1", "P", "PA") else picture
    shown = list(as_rgb(colours.resize((SIGNATURE_SIDE, SIGNATURE_SIDE), Image.Resampling.BOX)))
    return np.concatenate([np.asarray(shown[0]), np.asarray(shown[-1])])
