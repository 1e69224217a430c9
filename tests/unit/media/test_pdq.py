"""Our PDQ gives what the reference gives of the same pixels, for every size and all eight copies."""

from __future__ import annotations

import numpy as np
import pdqhash
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from serve_app.domain import DIHEDRAL_HASHES, PDQ_BYTES
from serve_app.media.pdq import pdq

quick = settings(max_examples=60, deadline=None, derandomize=True)
MOST_BITS_BY_ROUNDING = 2
QUALITY_BY_ROUNDING = 1
"""Gradients are cut to whole hundredths, so that rounding can take one away."""

ROUNDING = 1e-3
"""In a frequency, by the order of additions: the luminance of up to 300x300 px, and its blur, have 24 bits."""


@st.composite
def pictures(draw: st.DrawFn, sides: st.SearchStrategy[int]) -> NDArray[np.uint8]:
    """Soft blots in colours, of any contrast, under noise: ``(height, width, 3)``.

    Without the noise, symmetric pictures would have frequencies of zero, whose bits are a matter of rounding.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    cells = draw(st.tuples(st.integers(6, 40), st.integers(6, 40)))
    contrast = draw(st.floats(0.05, 1.0))
    blots = Image.fromarray(rng.integers(0, 256, (*cells, 3), dtype=np.uint8))
    soft = np.asarray(blots.resize((draw(sides), draw(sides)), Image.Resampling.BICUBIC)) * contrast
    noise = rng.integers(0, draw(st.integers(8, 40)), soft.shape)
    return np.clip(soft + noise, 0, 255).astype(np.uint8)


def luminance_of(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def bits_of(hashes: bytes) -> NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(hashes, np.uint8).reshape(DIHEDRAL_HASHES, PDQ_BYTES), axis=1)


@quick
@given(pictures(st.integers(64, 300)))
def test_the_reference_gives_the_same_quality_and_the_same_eight_hashes(picture: NDArray[np.uint8]) -> None:
    theirs, their_quality = pdqhash.compute_dihedral(picture)
    quality, hashes = pdq(luminance_of(picture))
    assert abs(quality - their_quality) <= QUALITY_BY_ROUNDING
    assert (bits_of(hashes) != np.stack(theirs)).sum(axis=1).max() <= MOST_BITS_BY_ROUNDING


@quick
@given(pictures(st.integers(5, 64)))
def test_of_a_tiny_picture_only_bits_differ_whose_frequency_is_the_median_but_for_rounding(
    picture: NDArray[np.uint8],
) -> None:
    """Each pixel of such a picture is repeated, and several of its frequencies are zero."""
    theirs, their_quality = pdqhash.compute(picture)
    frequencies, _ = pdqhash.compute_float(picture)
    quality, hashes = pdq(luminance_of(picture))
    assert abs(quality - their_quality) <= QUALITY_BY_ROUNDING
    differing = frequencies[bits_of(hashes)[0] != theirs]
    assert np.abs(differing - np.median(frequencies)).max(initial=0.0) < ROUNDING


@pytest.mark.parametrize("size_px", [(64, 64), (128, 129), (512, 512), (700, 5), (5, 700), (1030, 640)])
def test_the_reference_gives_the_same_at_the_sizes_where_its_window_changes(size_px: tuple[int, int]) -> None:
    picture = np.random.default_rng(size_px).integers(0, 256, (*size_px, 3), np.uint8)
    theirs, their_quality = pdqhash.compute_dihedral(picture)
    quality, hashes = pdq(luminance_of(picture))
    assert abs(quality - their_quality) <= QUALITY_BY_ROUNDING
    assert (bits_of(hashes) != np.stack(theirs)).sum(axis=1).max() <= MOST_BITS_BY_ROUNDING


@quick
@given(pictures(st.integers(64, 300)))
def test_the_hash_is_written_as_the_reference_writes_it(picture: NDArray[np.uint8]) -> None:
    theirs, _ = pdqhash.compute(picture)
    _, hashes = pdq(luminance_of(picture))
    written = np.packbits(theirs.astype(np.uint8)).tobytes()
    assert (int.from_bytes(written) ^ int.from_bytes(hashes[:PDQ_BYTES])).bit_count() <= MOST_BITS_BY_ROUNDING


@pytest.mark.parametrize("size_px", [(4, 100), (100, 4), (1, 1)])
def test_a_picture_with_a_side_under_5_px_has_no_quality(size_px: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size_px, 3), np.uint8)
    _, their_quality = pdqhash.compute(picture)
    assert pdq(luminance_of(picture)) == (their_quality, bytes(DIHEDRAL_HASHES * PDQ_BYTES))


@pytest.mark.parametrize("level", [0, 127, 255])
def test_a_picture_of_one_colour_has_no_quality(level: int) -> None:
    quality, _ = pdq(np.full((80, 120), level, np.float32))
    assert quality == 0
