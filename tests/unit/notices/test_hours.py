"""Which decisions are counted and told by the hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from serve_app.domain import RESCAN_SOURCE, UNNAMED_SOURCE, Lane, NoticeKind, Tally, Verdict
from serve_app.notices.facts import Counted
from serve_app.notices.hours import Hours, counted_in
from serve_app.notices.told import Told
from serve_app.settings import NoticeSettings

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def tally(
    count: int = 1,
    *,
    verdict: Verdict | None = Verdict.REJECT,
    reason: str = "policy",
    lane: Lane = Lane.LIVE,
    source: str = UNNAMED_SOURCE,
    at: datetime = NOON,
) -> Tally:
    return Tally(source, lane, reason, verdict, "no-red" if verdict else None, verdict is None, count, at)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


class Run:
    """Hours that are looked at every minute, over decisions that come at their times."""

    def __init__(self, tallies: Sequence[Tally], told: Sequence[Told] = (), **settings: object) -> None:
        self.hours = Hours(NoticeSettings(**settings), told, NOON)  # type: ignore[arg-type]
        self.tallies = tallies
        self.told: list[tuple[datetime, Counted]] = []

    def look(self, until: datetime) -> None:
        now = NOON
        while now <= until:
            if wanted := self.hours.wanted(now):
                found = [each for each in self.tallies if wanted[0] <= each.first_at < wanted[1]]
                if counted := self.hours.due(found, *wanted):
                    self.hours.note_told(counted)
                    self.told.append((now, counted))
            now += minutes(1)


def test_each_hour_is_told_a_minute_after_its_end_and_once() -> None:
    run = Run([tally(3, at=NOON - minutes(1)), tally(4, at=NOON), tally(5, at=NOON + 3 * HOUR)])
    run.look(NOON + 6 * HOUR)
    assert [(at, each.since, each.until, each.rejected_count) for at, each in run.told] == [
        (NOON + minutes(1), NOON - HOUR, NOON, 3),
        (NOON + minutes(61), NOON, NOON + HOUR, 4),
        (NOON + minutes(241), NOON + 3 * HOUR, NOON + 4 * HOUR, 5),
    ]


def test_too_few_are_counted_on_for_a_day() -> None:
    run = Run([tally(2, at=NOON + each * HOUR) for each in range(0, 60, 2)], pictures_at_least=7)
    run.look(NOON + 20 * HOUR)
    assert [(each.since, each.until, each.rejected_count) for _, each in run.told] == [
        (NOON, NOON + 7 * HOUR, 8),
        (NOON + 8 * HOUR, NOON + 15 * HOUR, 8),
    ]
    seldom = Run([tally(1, at=NOON + each * 20 * HOUR) for each in range(4)], pictures_at_least=3)
    seldom.look(NOON + 80 * HOUR)
    assert seldom.told == [], "after a day nobody is told of a single one"


def test_another_process_goes_on_with_the_hour_after_the_last_one_that_was_told() -> None:
    told = [
        Told(NOON - 3 * HOUR, NOON - 4 * HOUR),
        Told(NOON - 2 * HOUR),
        Told(NOON - 90 * minutes(1), NOON - 2 * HOUR),
    ]
    run = Run([tally(3, at=NOON - 2.5 * HOUR), tally(4, at=NOON - 1.5 * HOUR)], told)
    run.look(NOON)
    assert [(each.since, each.until, each.rejected_count) for _, each in run.told] == [
        (NOON - 2 * HOUR, NOON - HOUR, 4)
    ], "the hour that ends now is counted in a minute"


def test_a_pause_of_some_hours_loses_nothing_though_nothing_was_told_before() -> None:
    tallies = [tally(3, at=NOON - 5 * HOUR), tally(9, at=NOON - 30 * HOUR)]
    for told in ([], [Told(NOON - 8 * HOUR, None, {NoticeKind.PENDING: NOON - 8 * HOUR})]):
        run = Run(tallies, told)
        run.look(NOON + minutes(1))
        ((_, counted),) = run.told
        assert (counted.since, counted.rejected_count) == (NOON - 5 * HOUR, 3)


def test_after_a_long_time_a_day_is_told_at_most() -> None:
    run = Run([tally(each, at=NOON - each * HOUR) for each in (30, 20)], [Told(NOON - 40 * HOUR, NOON - 40 * HOUR)])
    run.look(NOON + minutes(1))
    ((_, counted),) = run.told
    assert (counted.since, counted.rejected_count) == (NOON - 20 * HOUR, 20)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((NoticeKind.REJECTED,), (3, 0)),
        ((NoticeKind.UNSCANNED,), (0, 4)),
        ((NoticeKind.REJECTED, NoticeKind.UNSCANNED), (3, 4)),
        ((NoticeKind.SCANNER,), None),
    ],
)
def test_only_the_kinds_that_are_wanted_are_counted(
    kinds: tuple[NoticeKind, ...], expected: tuple[int, int] | None
) -> None:
    run = Run([tally(3), tally(4, verdict=None, reason="deadline")], kinds=kinds)
    run.look(NOON + minutes(61))
    assert [(each.rejected_count, each.unscanned_count) for _, each in run.told] == ([expected] if expected else [])


def test_only_pictures_of_image_servers_count_and_bytes_that_nobody_can_scan_do_not() -> None:
    counted = counted_in(
        [
            tally(1),
            tally(10, source=RESCAN_SOURCE, lane=Lane.BACKGROUND),
            tally(100, lane=Lane.BACKGROUND),
            tally(1000, verdict=Verdict.FLAG),
            tally(2, verdict=None, reason="overloaded"),
            tally(20, verdict=None, reason="undecodable"),
            tally(200, verdict=None, reason="deadline", lane=Lane.BACKGROUND),
        ],
        NOON,
        NOON + HOUR,
    )
    assert (counted.rejected_count, counted.unscanned_count) == (11, 2)
