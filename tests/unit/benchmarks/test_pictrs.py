"""The arithmetic of the benchmark with a real pict-rs, on loads that are made up."""

from __future__ import annotations

from benchmarks.outcomes import Load, Outcome
from benchmarks.pictrs import Measured, shares
from benchmarks.servers import Way


def uploads(stored: int, refused: int = 0) -> Measured:
    """In ten seconds."""
    statuses = [201] * stored + [400] * refused
    return Measured(Load([Outcome(0.0, 0.0, 1.0, status) for status in statuses], elapsed_s=10.0), 0.0, 0.0)


def test_a_rate_is_of_uploads_that_were_stored() -> None:
    measured = uploads(stored=90, refused=10)
    assert (measured.per_s, measured.refused) == (9.0, 10)


def test_less_of_the_rate_may_be_left_on_ray_than_in_one_process() -> None:
    asked = {Way.ONE_PROCESS: uploads(stored=250), Way.RAY: uploads(stored=250)}
    one_process, ray, refused = shares(uploads(stored=1000), asked)
    assert (one_process.seen, ray.seen) == (0.25, 0.25)
    assert (one_process.holds, ray.holds, refused.holds) == (False, True, True)


def test_uploads_that_are_refused_by_more_than_a_race_are_a_failure() -> None:
    *_, refused = shares(uploads(stored=1000), {Way.RAY: uploads(stored=950, refused=50)})
    assert (refused.seen, refused.holds) == (5.0, False)
