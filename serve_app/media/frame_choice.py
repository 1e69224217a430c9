"""Which frames of an animation or a video are looked at: a pure choice by how long each stays and what it looks like.

A *stretch* is a series of consecutive frames. Two frames *look alike* if their signatures (the whole frame in 16x16
cells) differ by at most ``ALIKE_LEVELS`` of 255 in every cell and channel. A stretch is *seen* if one of its frames is
chosen, or if each of its frames looks like a chosen one.

Guaranteed, for ``max_frames`` chosen of frames that last D seconds together:

* Every stretch of at least D / max_frames whose frames all look like its first is seen: a picture that stays.
* Every stretch of at least 2 D / max_frames is seen, whatever moves in it.
* The first and the last frame are chosen, unless the two above need every place (then next to nothing is left of D).

Probable: the places left (at least ``max_frames / 2 - 2`` where everything moves, most of them where little does) go to
the frames that differ most from all chosen ones. A single odd frame in 900 is chosen if fewer other frames than places
differ as much: nearly certain in an animation of stills, and no promise where scenes change often. A frame that does
not stand out at 16x16 is chosen like any other: with 16 of 900, in 1.8 % of all cases. Two pictures made to look alike
at 16x16 count as alike for both guarantees; what is left of the places is then spread over the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

SIGNATURE_SIDE = 16
"""Cells of a signature in each direction. An eighth of a side is two cells: what matters shows in at least one."""

ALIKE_LEVELS = 10
"""How far a cell may be off between two frames that look alike, of 255: above the noise of a video's compression."""

_ROUNDING = 1e-9


def choose_frames(durations_s: Sequence[float], signatures: NDArray[np.uint8], max_frames: int) -> list[int]:
    """At most ``max_frames`` (1 or more) indices, ascending; what they guarantee is in this module's docstring.

    Args:
        durations_s: how long each frame is shown, zero or more. If all are zero, all count the same.
        signatures: one row per frame, of any shape; the same for all.
        max_frames: how many may be chosen. All are if there are no more.
    """
    total = len(durations_s)
    if total <= max_frames:
        return list(range(total))
    edges_s = _edges(durations_s)
    choice = _Choice(signatures.reshape(total, -1))
    _choose_what_stays(choice, edges_s, max_frames)
    for end in (0, total - 1):
        if len(choice.indices) < max_frames:
            choice.add(end)
    _choose_what_stands_out(choice, (edges_s[:-1] + edges_s[1:]) / 2, max_frames)
    return sorted(choice.indices)


class _Choice:
    """The frames chosen so far, and for each frame how it compares with them."""

    def __init__(self, signatures: NDArray[np.uint8]) -> None:
        self._signatures = signatures
        self.indices: set[int] = set()
        self.alike = np.zeros(len(signatures), bool)
        """Whether a frame looks like a chosen one."""
        self.apart = np.full(len(signatures), np.inf)
        """A frame's mean difference, in levels, from the chosen frame that is nearest to it."""

    def add(self, index: int) -> None:
        if index in self.indices:
            return
        self.indices.add(index)
        differences = self._differences(0, len(self._signatures), index)
        self.alike |= differences.max(axis=1) <= ALIKE_LEVELS
        self.apart = np.minimum(self.apart, differences.mean(axis=1))

    def stays(self, first: int, last: int) -> bool:
        """Whether every frame of ``first..last`` looks like ``first``."""
        return bool(self._differences(first, last + 1, first).max() <= ALIKE_LEVELS)

    def _differences(self, start: int, end: int, index: int) -> NDArray[np.uint8]:
        frames, one = self._signatures[start:end], self._signatures[index]
        differences: NDArray[np.uint8] = np.maximum(frames, one) - np.minimum(frames, one)
        return differences


def _edges(durations_s: Sequence[float]) -> NDArray[np.float64]:
    """When each frame begins, and when the last one ends."""
    lengths_s = np.asarray(durations_s, np.float64)
    return np.concatenate([[0.0], np.cumsum(lengths_s if lengths_s.any() else np.ones(len(lengths_s)))])


def _choose_what_stays(choice: _Choice, edges_s: NDArray[np.float64], max_frames: int) -> None:
    """Choose the last frame of each stretch that is not seen yet, the stretches in the order of their ends.

    Each stretch for which a frame is chosen begins after the frame chosen before, so no two of them overlap; as each
    takes at least ``1 / max_frames`` of the time, there are at most ``max_frames`` of them.
    """
    still = ((end, start, True) for start, end in _stretches(edges_s, 1 / max_frames))
    moving = ((end, start, False) for start, end in _stretches(edges_s, 2 / max_frames))
    latest = -1
    for end, start, must_stay in sorted([*still, *moving]):
        if latest >= start or choice.alike[start : end + 1].all():
            continue
        if not must_stay or choice.stays(start, end):
            choice.add(end)
            latest = end


def _stretches(edges_s: NDArray[np.float64], share: float) -> Iterator[tuple[int, int]]:
    """From each frame the shortest stretch of at least ``share`` of the time: its first and its last frame."""
    ends_s = edges_s[:-1] + edges_s[-1] * (share - _ROUNDING)
    for first, edge in enumerate(np.searchsorted(edges_s, ends_s).tolist()):
        if edge < len(edges_s):
            yield first, edge - 1


def _choose_what_stands_out(choice: _Choice, middles_s: NDArray[np.float64], max_frames: int) -> None:
    """Fill the places that are left: with what differs most, and when all look alike, evenly over the time.

    A frame with the very signature of a chosen one is not worth its cost.
    """
    while len(choice.indices) < max_frames and choice.apart.any():
        if not choice.alike.all():
            choice.add(int(np.where(choice.alike, -1.0, choice.apart).argmax()))
            continue
        chosen_s = middles_s[sorted(choice.indices)]
        gaps_s = np.abs(middles_s[:, None] - chosen_s).min(axis=1)
        choice.add(int(np.where(choice.apart > 0, gaps_s, -1.0).argmax()))
