"""Strikes: too many soon after each other, and neither incidents nor what a good worker makes up for."""

from __future__ import annotations

from serve_app.remote.trust.strikes import KeptOut, Strikes


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_many_strikes_are_too_many_and_say_what_for() -> None:
    clock = Clock()
    strikes = Strikes(clock)
    for number in range(10):
        clock.now_s += 2
        strikes.add("late" if number % 3 else "lost")
    assert strikes.are_too_many
    assert str(strikes) == "late (6), lost (4)"


def test_pictures_that_are_lost_together_are_one_strike() -> None:
    strikes = Strikes(Clock())
    for _ in range(100):
        strikes.add("lost")
    assert not strikes.are_too_many


def test_strikes_are_forgotten() -> None:
    clock = Clock()
    strikes = Strikes(clock)
    for _ in range(100):
        clock.now_s += 120
        strikes.add("late")
        assert not strikes.are_too_many
    clock.now_s += 3600
    strikes.forgive()
    assert str(strikes) == ""


def test_one_late_picture_in_ten_is_forgiven_and_one_in_five_is_not() -> None:
    for one_in, are_too_many in ((10, False), (5, True)):
        clock = Clock()
        strikes = Strikes(clock)
        for number in range(1000):
            clock.now_s += 0.5
            strikes.add("late") if number % one_in == 0 else strikes.forgive()
        assert strikes.are_too_many is are_too_many


def test_an_owner_is_kept_out_for_the_longer_of_two_times_and_then_no_more() -> None:
    clock = Clock()
    kept_out = KeptOut(clock)
    kept_out.keep_out("stranger", 100)
    kept_out.keep_out("stranger", 50)
    assert kept_out.remaining_s("stranger") == 100
    assert kept_out.remaining_s("home") == 0
    clock.now_s = 100
    assert kept_out.remaining_s("stranger") == 0


def test_only_the_last_owners_are_remembered() -> None:
    kept_out = KeptOut(Clock())
    for number in range(1000):
        kept_out.keep_out(str(number), 100)
    assert kept_out.remaining_s("999") == 100
    assert kept_out.remaining_s("0") == 0
