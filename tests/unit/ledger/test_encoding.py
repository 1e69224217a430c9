"""What is recorded of scores, places and fingerprints comes back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from serve_app.domain import FrameFingerprint, ViewPlace
from serve_app.ledger.encoding import (
    body_key,
    key_of,
    pack_fingerprints,
    pack_places,
    pack_values,
    unpack_fingerprints,
    unpack_places,
    unpack_planes,
    unpack_values,
)

SHARES = st.floats(0, 1)
FRAMES = st.integers(0, 2**32 - 1)


@given(
    st_numpy.arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 70)), elements=st.floats(-1, 1, width=32))
)
def test_cosines_come_back_within_half_a_step_of_float16(cosines: np.ndarray) -> None:
    found = unpack_values(pack_values(cosines), len(cosines))
    assert found.shape == cosines.shape
    assert found.dtype == np.float32
    assert np.abs(found - cosines).max() <= 2.0**-12


@given(st.lists(st.builds(ViewPlace, FRAMES, st.tuples(SHARES, SHARES, SHARES, SHARES)), max_size=20))
def test_places_come_back_as_they_were(places: list[ViewPlace]) -> None:
    assert unpack_places(pack_places(places)) == tuple(places)


@given(
    st.lists(
        st.builds(FrameFingerprint, FRAMES, st.integers(0, 100), st.binary(min_size=256, max_size=256)), max_size=20
    )
)
def test_fingerprints_come_back_as_they_were(fingerprints: list[FrameFingerprint]) -> None:
    assert unpack_fingerprints(pack_fingerprints(fingerprints)) == tuple(fingerprints)


def test_a_key_is_the_same_in_every_process_and_version() -> None:
    assert key_of("a label", None, 224) == -102849413276400337
    assert key_of("ab", "c") != key_of("a", "bc")


@given(st.binary(min_size=32, max_size=32))
def test_a_sha256_is_its_bytes(digest: bytes) -> None:
    assert body_key(digest.hex()) == digest


def test_a_text_that_is_no_sha256_is_no_body() -> None:
    assert body_key("no digest") == b""


def test_every_number_of_16_bits_comes_back_as_it_is() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    planes = every.view(np.uint8).reshape(-1, 2).T.tobytes()
    found = unpack_planes(planes, 1, 1 << 8)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.ravel(), every.astype(np.float32))
    assert np.array_equal(np.signbit(found.ravel()), np.signbit(every))
