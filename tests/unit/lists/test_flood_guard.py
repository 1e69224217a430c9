"""An entry that suddenly matches far above its baseline is to be suspended, and no other."""

import itertools

from serve_app.lists.flood_guard import LEARNING_S, MIN_MATCHES, FloodGuard

_numbers = itertools.count()


class _Time:
    def __init__(self) -> None:
        self.now_s = 1e6

    def __call__(self) -> float:
        return self.now_s


def _pictures(guard: FloodGuard, time: _Time, count: int, over_s: float, entry: int | None) -> int:
    """How many of ``count`` pictures it takes until the entry is suspended; 0 if it is not."""
    for number in range(1, count + 1):
        time.now_s += over_s / count
        if guard.picture(_sha256(), entry):
            return number
    return 0


def _sha256() -> str:
    """Of another picture each time."""
    return str(next(_numbers))


def _learned(time: _Time) -> FloodGuard:
    """A guard that knows what is usual."""
    guard = FloodGuard(time)
    time.now_s += LEARNING_S
    return guard


def test_a_new_entry_that_matches_everything_is_suspended() -> None:
    time = _Time()
    guard = _learned(time)
    assert _pictures(guard, time, 1000, 600, None) == 0
    assert _pictures(guard, time, 200, 60, 7) == MIN_MATCHES


def test_a_few_matches_suspend_nothing() -> None:
    time = _Time()
    guard = _learned(time)
    for _ in range(100):
        assert _pictures(guard, time, MIN_MATCHES - 1, 600, 7) == 0
        time.now_s += 100_000


def test_uploading_one_picture_again_and_again_suspends_no_entry_of_a_busy_service() -> None:
    time = _Time()
    guard = _learned(time)
    for _ in range(200):
        assert _pictures(guard, time, 99, 3, None) == 0
        assert _pictures(guard, time, 1, 0.1, 7) == 0


def test_an_entry_that_has_always_matched_as_often_is_left_alone() -> None:
    time = _Time()
    guard = _learned(time)
    # Nine matches in each window for two days, then twice and twenty times as many.
    for _ in range(2 * 24 * 6):
        assert _pictures(guard, time, 9, 600, 7) == 0
    assert _pictures(guard, time, 18, 600, 7) == 0
    assert 60 < _pictures(guard, time, 180, 600, 7) < 120


def test_entries_are_counted_apart() -> None:
    time = _Time()
    guard = _learned(time)
    for _ in range(MIN_MATCHES - 1):
        assert not guard.picture(_sha256(), 7)
        assert not guard.picture(_sha256(), 8)
    assert guard.picture(_sha256(), 7)
    assert guard.picture(_sha256(), 8)


def test_one_picture_again_and_again_is_no_flood() -> None:
    time = _Time()
    guard = _learned(time)
    assert not any(guard.picture("the same", 7) for _ in range(10 * MIN_MATCHES))


def test_nothing_is_suspended_before_the_guard_knows_what_is_usual() -> None:
    time = _Time()
    guard = FloodGuard(time)
    assert _pictures(guard, time, 10 * MIN_MATCHES, LEARNING_S - 1, 7) == 0
    time.now_s += 1
    assert _pictures(guard, time, 10 * MIN_MATCHES, 1, 7) > 0
