"""Limits on bodies and media: the section ``limits`` of ``serve_config.yaml``, as every room uses it.

Without pydantic, because each decode worker loads this module (``docs/adr/0011``). :mod:`serve_app.settings` reads the
bounds of a value from the annotations here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Final, Self

from annotated_types import Ge, Gt, Le

# pict-rs's callers give up after 10 s; an answer may come half a second after the deadline, and has a way to go.
MAX_DEADLINE_S = 9.0

DECODE_SHARE = 0.9
"""The share of the time left that a decode may take at most: scoring, or the report that it stalled, needs the rest."""


class _InBytes:
    """Marks a number of bytes that settings may give with a unit, such as ``40MB``."""

    def __get_pydantic_core_schema__(self, _: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic import ByteSize
        from pydantic_core import core_schema

        # A plain int: pydantic's own type would make each decode worker import pydantic.
        return core_schema.no_info_after_validator_function(int, handler(ByteSize))


MEDIA_VERSION: Final = 2
"""What an examination sees of a body. Raise it with every change of what is decoded, cut or fingerprinted: then bytes
that were examined before are examined again when they come."""

MediaKey = tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class MediaLimits:
    """Limits on the media of one body. Media beyond a limit are ``too_large``, unless the limit says otherwise.

    The defaults cover everything that pict-rs allows by default (40 Mpx stills, 900 frames of an animation).
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - pydantic reads it from the class

    max_pixels: Annotated[int, Ge(1)] = 40_000_000
    """Width times height of one frame, checked in the header before any pixel is allocated."""
    max_video_pixels: Annotated[int, Ge(1)] = 8_294_400
    """As ``max_pixels``, for a frame of a video (3840x2160), whose decoder holds up to 17 frames in memory."""
    max_frames_total: Annotated[int, Ge(1)] = 900
    """Frames of an animation. In most formats a frame needs all frames before it decoded."""
    max_duration_s: Annotated[float, Gt(0)] = 900.0
    """Length of a video. All of its frames are decoded, so that no picture in it stays unseen."""
    max_frames: Annotated[int, Ge(1)] = 16
    """Frames of an animation that are scanned, spread over its length, the first and the last included."""
    max_views: Annotated[int, Ge(1)] = 12
    """Views cut from one still: one global view, and tiles for long shapes and very large pictures. No setting."""
    max_decode_s: Annotated[float, Gt(0), Le(MAX_DEADLINE_S)] = 5.0
    """Seconds of CPU time that one body may take to decode; then its worker is killed, and it is ``undecodable``."""
    max_decode_memory_bytes: Annotated[int, Ge(100_000_000), _InBytes()] = 600_000_000
    """Memory that a worker may take for one body, beyond that of an idle worker."""

    @property
    def media_key(self) -> MediaKey:
        """What examinations depend on beside the bytes and the model. One under another key is not recalled."""
        return MEDIA_VERSION, self.max_frames, self.max_views

    def within(self, deadline_s: float) -> Self:
        """The same limits for requests with this deadline.

        A decode with more CPU time than that would always be late, and its bytes would never count as hostile.
        """
        return dataclasses.replace(self, max_decode_s=min(self.max_decode_s, deadline_s * DECODE_SHARE))


@dataclasses.dataclass(frozen=True, slots=True)
class Limits(MediaLimits):
    """Limits on bodies and on their media."""

    max_body_bytes: Annotated[int, Ge(1), _InBytes()] = 64_000_000
    """One body. pict-rs takes uploads of 40 MiB by default, and sends a re-encoded picture, which may be longer."""
    max_inside_bytes: Annotated[int, Ge(1), _InBytes()] = 512_000_000
    """All bodies that an ingress replica holds at once."""
