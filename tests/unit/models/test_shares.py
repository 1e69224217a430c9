"""Every view is in one share, in order, and no thread idles while another has two."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serve_app.models.shares import shares


@given(views=st.integers(1, 200), threads=st.integers(1, 32))
def test_shares_are_all_of_the_views_in_order(views: int, threads: int) -> None:
    batch = np.arange(views * 12, dtype=np.uint16).astype(np.uint8).reshape(views, 2, 2, 3)
    parts = shares(batch, threads)
    assert len(parts) in (1, threads)
    np.testing.assert_array_equal(np.concatenate(parts), batch)
    sizes = [len(part) for part in parts]
    assert len(parts) == 1 or min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1


def test_few_views_are_computed_by_all_threads_together() -> None:
    batch = np.zeros((4, 2, 2, 3), np.uint8)
    assert [len(part) for part in shares(batch[:3], 2)] == [3]
    assert [len(part) for part in shares(batch, 2)] == [2, 2]
    assert [len(part) for part in shares(batch, 1)] == [4]
