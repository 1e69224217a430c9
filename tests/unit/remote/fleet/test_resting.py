"""How long a worker rests that fails whatever it is given."""

from __future__ import annotations

from serve_app.remote.fleet.resting import Resting


def test_rests_grow_to_a_minute_and_no_further_however_often_it_fails() -> None:
    resting = Resting(lambda: 0.0)
    rests = [resting.failed() for _ in range(2_000)]
    assert rests[:9] == [0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert set(rests[9:]) == {60.0}
    resting.succeeded()
    assert resting.failed() == 0.0
