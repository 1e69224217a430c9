"""What stays is always chosen, what stands out nearly always, and never more than allowed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from serve_app.media.frame_choice import ALIKE_LEVELS, SIGNATURE_SIDE, choose_frames

quick = settings(max_examples=60, deadline=None, derandomize=True)
slow = settings(quick, max_examples=10)
CELLS = (SIGNATURE_SIDE, SIGNATURE_SIDE, 3)
RUNS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30)), min_size=1, max_size=40)
"""What is shown (a number for a picture), and for how many frames."""


def signatures_of(shown: list[int], noise: int = 0) -> NDArray[np.uint8]:
    """Six pictures of noise that differ wildly from each other, each with a little more noise of its own."""
    draws = np.random.default_rng(7)
    pictures = draws.integers(20, 230, (6, *CELLS))
    return (pictures[shown] + draws.integers(0, noise + 1, (len(shown), *CELLS))).astype(np.uint8)


def moving(total: int) -> NDArray[np.uint8]:
    """A bright column that walks over a dark picture: every frame differs from its neighbours."""
    frames = np.full((total, *CELLS), 30, np.uint8)
    frames[np.arange(total), :, np.arange(total) % SIGNATURE_SIDE] = 220
    return frames


@quick
@given(RUNS, st.integers(1, 20), st.integers(0, ALIKE_LEVELS), st.data())
def test_what_stays_for_its_share_of_the_time_is_seen(
    runs: list[tuple[int, int]], max_frames: int, noise: int, data: st.DataObject
) -> None:
    shown = [picture for picture, length in runs for _ in range(length)]
    durations_s = data.draw(st.lists(st.sampled_from([0.0, 0.02, 0.1, 3.0]), min_size=len(shown), max_size=len(shown)))
    durations_s = durations_s if any(durations_s) else [1.0] * len(shown)

    chosen = choose_frames(durations_s, signatures_of(shown, noise), max_frames)

    assert len(chosen) <= max_frames
    assert chosen == sorted(set(chosen))
    at = 0
    for picture, length in runs:
        lasts_s = sum(durations_s[at : at + length])
        if lasts_s >= sum(durations_s) / max_frames:
            assert picture in [shown[index] for index in chosen]
        at += length


@quick
@given(st.lists(st.sampled_from([0.02, 0.1, 0.5]), min_size=17, max_size=300))
def test_where_everything_moves_no_eighth_of_the_time_is_left_out(durations_s: list[float]) -> None:
    chosen = choose_frames(durations_s, moving(len(durations_s)), 16)
    kept = moving(len(durations_s))[chosen]
    ends_s = np.cumsum(durations_s)
    for start in range(len(durations_s)):
        starts_s = ends_s[start] - durations_s[start]
        end = int(np.searchsorted(ends_s, starts_s + ends_s[-1] / 8 - 1e-9))
        if end < len(durations_s) and not any(start <= index <= end for index in chosen):
            unseen = moving(len(durations_s))[start : end + 1]
            assert all((frame == kept).all(axis=(1, 2, 3)).any() for frame in unseen)


@quick
@given(st.integers(17, 400), st.integers(3, 30))
def test_the_first_and_the_last_frame_are_chosen(total: int, max_frames: int) -> None:
    chosen = choose_frames([0.1] * total, moving(total), max_frames)
    assert {0, total - 1} <= set(chosen)


@slow
@given(st.integers(0, 899), st.booleans())
def test_one_odd_frame_in_900_is_found(odd: int, moves: bool) -> None:
    frames = moving(900) if moves else signatures_of([0] * 900, noise=ALIKE_LEVELS)
    frames[odd] = 255 - frames[odd]
    assert odd in choose_frames([0.04] * 900, frames, 16)


def test_a_small_thing_that_appears_in_one_corner_is_found() -> None:
    frames = signatures_of([0] * 900)
    frames[417, :2, -2:] ^= 128
    assert 417 in choose_frames([0.04] * 900, frames, 16)


def test_a_slow_fade_is_followed() -> None:
    frames = np.broadcast_to(np.linspace(0, 255, 600).astype(np.uint8)[:, None, None, None], (600, *CELLS))
    chosen = choose_frames([0.04] * 600, frames, 16)
    assert len(chosen) == 16
    assert np.diff([int(frames[index, 0, 0, 0]) for index in chosen]).max() <= 40


def test_equal_frames_are_looked_at_once_besides_the_ends() -> None:
    assert len(choose_frames([0.1] * 900, np.zeros((900, *CELLS), np.uint8), 16)) <= 3


def test_frames_that_differ_next_to_nothing_are_spread_over_the_time() -> None:
    chosen = choose_frames([0.1] * 900, signatures_of([0] * 900, noise=4), 16)
    assert len(chosen) == 16
    assert max(np.diff(chosen)) <= 900 / 7


@pytest.mark.parametrize("total", [1, 2, 16])
def test_a_short_animation_is_chosen_whole(total: int) -> None:
    assert choose_frames([0.0] * total, signatures_of([0] * total), 16) == list(range(total))


def test_frames_without_a_duration_count_the_same() -> None:
    shown = [0] * 40 + [1] * 4 + [0] * 20
    frames = signatures_of(shown)
    assert choose_frames([0.0] * 64, frames, 16) == choose_frames([1.0] * 64, frames, 16)
    assert 1 in [shown[index] for index in choose_frames([0.0] * 64, frames, 16)]
