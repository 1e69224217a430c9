"""How much of a request is taken in: the section ``limits`` of ``serve_config.yaml``, as every room uses it.

Apart from the other settings, and without pydantic: each decode worker loads this module, and pydantic would cost it
11 MB and 0.15 s. :mod:`serve_app.settings` reads the bounds of a value from the annotations here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Self

from annotated_types import Ge, Gt, Le

# pict-rs' wall is 10 s. An answer may come half a second after the deadline, and the network takes its part.
MAX_DEADLINE_S = 9.0

DECODE_SHARE = 0.9
"""A decode that has its full time is given this share of what is left until the answer: scoring needs the rest, and so
does the news that it stalled."""


class _InBytes:
    """Marks a number of bytes that settings may write with its unit, such as ``40MB``."""

    def __get_pydantic_core_schema__(self, _: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic import ByteSize
        from pydantic_core import core_schema

        # A plain int: pydantic's own type would have each decode worker import pydantic after all.
        return core_schema.no_info_after_validator_function(int, handler(ByteSize))


@dataclasses.dataclass(frozen=True, slots=True)
class MediaLimits:
    """Bounds on one body's media. Beyond a bound the answer is ``too_large``, if nothing else is said.

    The defaults cover all that pict-rs lets through by default (40 Mpx stills, 900 frames of an animation).
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    max_pixels: Annotated[int, Ge(1)] = 40_000_000
    """Width times height of one frame, checked in the header before any pixel is allocated."""
    max_video_pixels: Annotated[int, Ge(1)] = 8_294_400
    """As ``max_pixels``, for a frame of a video (3840x2160), whose decoder keeps up to 17 frames in memory."""
    max_frames_total: Annotated[int, Ge(1)] = 900
    """Frames of an animation. To know a frame of most formats, all frames before it must be decoded."""
    max_duration_s: Annotated[float, Gt(0)] = 900.0
    """Length of a video. To know that no picture stays in it unseen, all of its frames must be decoded."""
    max_frames: Annotated[int, Ge(1)] = 16
    """Frames of an animation that are scanned, spread over its length, the first and the last included."""
    max_views: Annotated[int, Ge(1)] = 12
    """Views cut from one still: one global view, and tiles for long shapes and very large pictures. No setting."""
    max_decode_s: Annotated[float, Gt(0), Le(MAX_DEADLINE_S)] = 5.0
    """Seconds of CPU time that one body may take to decode; then its worker is killed, and it is ``undecodable``."""
    max_decode_memory_bytes: Annotated[int, Ge(100_000_000), _InBytes()] = 600_000_000
    """Memory that a worker may come to hold for one body, over what it holds before."""

    def within(self, deadline_s: float) -> Self:
        """The same for requests with this deadline.

        A decode that may outlast what it is given would only ever be late, and its bytes never hostile.
        """
        return dataclasses.replace(self, max_decode_s=min(self.max_decode_s, deadline_s * DECODE_SHARE))


@dataclasses.dataclass(frozen=True, slots=True)
class Limits(MediaLimits):
    """Bounds on bodies, and on what is in them."""

    max_body_bytes: Annotated[int, Ge(1), _InBytes()] = 64_000_000
    """One body. pict-rs takes uploads of 40 MiB by default, and sends what it has re-encoded, which may be longer."""
    max_inside_bytes: Annotated[int, Ge(1), _InBytes()] = 512_000_000
    """All bodies that an ingress replica has inside at once."""
