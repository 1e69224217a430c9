"""A body to what the model is shown of it. This loads every decoder: the door is :mod:`serve_app.media.preprocess`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil

import numpy as np
from PIL import Image

from serve_app.domain import (
    NO_FACES,
    Deadline,
    Faces,
    FrameFingerprint,
    UndecodableError,
    ViewPlace,
    Views,
)
from serve_app.domain.limits import MediaLimits
from serve_app.media.decoder_errors import decoding
from serve_app.media.faces import Detector, Face, find_faces
from serve_app.media.fingerprints import LEAST_SIDE_PX, fingerprint
from serve_app.media.frames import Frame, FrameSample, sample_frames
from serve_app.media.image_sequence import is_sequence, sample_sequence
from serve_app.media.pictures import Open, ShrunkPictures, pictures_of
from serve_app.media.video import sample_video
from serve_app.media.video_track import VIDEO_TYPES
from serve_app.media.views import (
    DECODE_OVERSAMPLING,
    MAX_ROWS,
    View,
    cut_views,
    reduced,
    reduced_before_colours,
    tile_rows,
    views_per_frame,
)

_LEAST_KEPT_SIZE_PX = ceil(LEAST_SIDE_PX / DECODE_OVERSAMPLING)
"""Pictures are reduced for views of at least this size, so that their fingerprints do not depend on the model's."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One body to views of one size; ``media_type`` is the one that was sniffed."""

    body: bytes
    media_type: str
    view_size_px: int
    limits: MediaLimits
    deadline: Deadline
    detector: Detector | None

    def views(self, is_lenient: bool) -> Views:
        """The views of the whole file or, if ``is_lenient``, of what there is of it."""
        self.deadline.require("decoding")
        views: list[View] = []
        places: list[ViewPlace] = []
        fingerprints: list[FrameFingerprint] = []
        faces: list[tuple[int, Face]] = []
        with decoding(self.media_type):
            sample = self._sample(is_lenient)
            share = views_per_frame(len(sample.indices), self.limits.max_frames, self.limits.max_views)
            seen = 0
            for index, frames in groupby(sample.frames, key=lambda frame: frame.index):
                readings = [self._reduced(frame, share) for frame in frames]
                cut = _cut(readings, self.view_size_px, share)
                views += cut
                places += [ViewPlace(index, view.box) for view in cut]
                fingerprints += map(fingerprint, readings)
                faces += [(index, face) for face in self._faces(readings, len(sample.indices))]
                seen += 1
                self.deadline.require("decoding")
        if not views:
            raise UndecodableError(f"not a readable {self.media_type}: no frame")
        return Views(
            pixels=np.stack([view.pixels for view in views]),
            places=tuple(places),
            media_type=self.media_type,
            frames_seen=seen,
            frames_total=sample.total,
            fingerprints=tuple(fingerprints),
            faces=_together(faces),
        )

    def _faces(self, readings: Sequence[Frame], frames: int) -> list[Face]:
        if self.detector is None:
            return []
        searched = frames * len(readings)
        return [face for frame in readings for face in find_faces(frame.picture, self.detector, searched)]

    @property
    def _kept_size_px(self) -> int:
        """The size of views for which pictures keep enough pixels while they are worked on."""
        return max(self.view_size_px, _LEAST_KEPT_SIZE_PX)

    def _sample(self, is_lenient: bool) -> FrameSample:
        if self.media_type in VIDEO_TYPES:
            return sample_video(self.body, self.media_type, self.limits, self._kept_size_px, self.deadline, is_lenient)
        if is_sequence(self.body, self.media_type):
            return sample_sequence(
                self.body, self.media_type, self.limits, self._kept_size_px, self.deadline, self._shrunk, is_lenient
            )
        openings = pictures_of(self.body, self.media_type, self.limits, is_lenient)
        if len(openings) == 1:
            return self._sample_picture(openings[0], is_lenient)
        samples = (self._sample_picture(opening, is_lenient) for opening in openings)
        frames = (replace(frame, index=page) for page, sample in enumerate(samples) for frame in sample.frames)
        return FrameSample(len(openings), tuple(range(len(openings))), frames)

    def _sample_picture(self, opening: Open, is_lenient: bool) -> FrameSample:
        pictures = ShrunkPictures(opening, round(self._kept_size_px * DECODE_OVERSAMPLING))
        sample = sample_frames(
            pictures,
            self.limits,
            self.deadline,
            self._shrunk,
            is_lenient,
        )
        if self.media_type != "image/jpeg":
            return sample
        # A JPEG was decoded at a reduced scale. Other types are decoded at full size, and each frame has its own.
        frames = (replace(frame, full_size_px=pictures.full_size_px) for frame in sample.frames)
        return replace(sample, frames=frames)

    def _shrunk(self, picture: Image.Image) -> Image.Image:
        # Of a JPEG, which is small already, the size in the file is not known here.
        rows = MAX_ROWS if self.media_type == "image/jpeg" else tile_rows(*picture.size, self.view_size_px)
        return reduced_before_colours(picture, self._kept_size_px, self.limits.max_views, rows)

    def _reduced(self, frame: Frame, share: int) -> Frame:
        return replace(frame, picture=reduced(frame.picture, self._kept_size_px, share))


def _together(faces: Sequence[tuple[int, Face]]) -> Faces:
    """The faces of all frames, each with the index of its frame."""
    if not faces:
        return NO_FACES
    places = tuple(ViewPlace(index, face.box) for index, face in faces)
    return Faces(np.stack([face.pixels for _, face in faces]), places)


def _cut(readings: Sequence[Frame], size_px: int, share: int) -> list[View]:
    """The views of one frame, given once per reading: at most ``share``, and at least the whole of each reading."""
    of_each = share // len(readings)
    return [
        view
        for frame in readings
        for view in cut_views(frame.picture, size_px, of_each, tile_rows(*frame.full_size_px, size_px))
    ]
