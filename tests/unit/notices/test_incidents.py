"""When what begins, lasts and ends is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import LedgerHealth, NoticeKind, PendingDecisions
from serve_app.domain.workers import StandingIn, WorkersHealth
from serve_app.notices.facts import DoubtedScores, Facts, HuntedPictures, SuspendedEntry
from serve_app.notices.incidents import AGAIN_AFTER, APART, OVER_AFTER, Incidents, Phase, Telling
from serve_app.notices.told import Told
from serve_app.settings import NoticeSettings

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
SILENT = "the scorer did not answer in time"
SETTINGS = NoticeSettings(unreachable_after_s=120, pending_at_least=100)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


class Seen:
    """Incidents that see the same facts every minute, and are told as soon as they are due."""

    def __init__(self, settings: NoticeSettings = SETTINGS, told: Sequence[Told] = (), purges: int = 100) -> None:
        self.now = NOON
        self.incidents = Incidents(settings, purges, told, NOON)
        self.told: list[tuple[int, str, Phase]] = []
        self.last: list[Telling] = []

    def see(self, for_minutes: int, **facts: Any) -> None:
        for _ in range(for_minutes):
            seen = Facts(self.now, **facts)
            self.incidents.see(seen)
            due = self.incidents.due(seen)
            self.incidents.note_told(due, self.now)
            self.told += [((self.now - NOON) // minutes(1), each.kind.value, each.phase) for each in due]
            self.last = due or self.last
            self.now += minutes(1)


def test_a_scanner_that_cannot_be_reached_is_told_after_a_while_every_day_and_once_it_can() -> None:
    seen = Seen()
    seen.see(3 * 1440 + 10, scanner_problem=SILENT)
    seen.see(1440)
    day = AGAIN_AFTER // minutes(1)
    end = 3 * 1440 + 10 - 1 + OVER_AFTER // minutes(1)
    assert seen.told == [
        (2, "scanner", Phase.BEGUN),
        *((2 + number * day, "scanner", Phase.LASTS) for number in (1, 2, 3)),
        (end, "scanner", Phase.OVER),
    ]
    assert seen.last[0].since == NOON
    assert seen.last[0].until == NOON + minutes(3 * 1440 + 9)


def test_a_restart_of_a_scorer_is_no_news() -> None:
    seen = Seen()
    seen.see(2, scanner_problem=SILENT)
    seen.see(60)
    seen.see(10, scanner_problem=SILENT)
    assert seen.told == [(64, "scanner", Phase.BEGUN)]
    assert seen.last[0].missed == 0


@pytest.mark.parametrize(
    ("kind", "facts"),
    [("scanner", {"scanner_problem": SILENT}), ("ledger", {"ledger": LedgerHealth("cannot be written")})],
)
def test_single_probes_that_fail_are_no_incident(kind: str, facts: dict[str, Any]) -> None:
    seen = Seen()
    for _ in range(10):
        seen.see(2, **facts)
        seen.see(1)
    assert seen.told == []
    seen.see(3, **facts)
    assert seen.told == [(32, kind, Phase.BEGUN)]
    assert seen.last[0].since == NOON + minutes(30)
    assert seen.last[0].missed == 0


def test_what_comes_and_goes_is_one_incident() -> None:
    seen = Seen()
    for _ in range(20):
        seen.see(3, scanner_problem=SILENT)
        seen.see(4)
    seen.see(10)
    assert [phase for _, _, phase in seen.told] == [Phase.BEGUN, Phase.OVER]


def test_incidents_soon_after_another_are_counted_and_told_with_the_next() -> None:
    seen = Seen()
    for _ in range(4):
        seen.see(5, scanner_problem=SILENT)
        seen.see(10)
    assert [phase for _, _, phase in seen.told] == [Phase.BEGUN, Phase.OVER]
    seen.see(20, scanner_problem=SILENT)
    minute, _, phase = seen.told[-1]
    assert (minute, phase) == (2 + APART // minutes(1), Phase.BEGUN)
    assert seen.last[0].missed == 3


CASES: list[tuple[NoticeKind, Callable[[datetime], dict[str, Any]], bool]] = [
    (NoticeKind.PENDING, lambda now: {"pending": PendingDecisions(99, now - minutes(359))}, False),
    (NoticeKind.PENDING, lambda now: {"pending": PendingDecisions(100, now)}, True),
    (NoticeKind.PENDING, lambda now: {"pending": PendingDecisions(1, now - minutes(360))}, True),
    (NoticeKind.HUNT, lambda now: {"hunted": HuntedPictures(now, 0, 0)}, False),
    (NoticeKind.HUNT, lambda now: {"hunted": HuntedPictures(now - minutes(60), 3, 0)}, False),
    (NoticeKind.HUNT, lambda now: {"hunted": HuntedPictures(now - minutes(60), 0, 1)}, True),
    (NoticeKind.PURGE_QUOTA, lambda _: {"purged_today": 99}, False),
    (NoticeKind.PURGE_QUOTA, lambda _: {"purged_today": 100}, True),
    (NoticeKind.FLOOD_GUARD, lambda now: {"suspended": (SuspendedEntry(7, "community", now),)}, True),
    (NoticeKind.LEDGER, lambda _: {"ledger": LedgerHealth(None, 0, 5)}, False),
    (NoticeKind.WORKERS, lambda now: {"workers": WorkersHealth(1)}, False),
    (NoticeKind.WORKERS, lambda now: {"workers": WorkersHealth(0, now)}, False),
    (NoticeKind.WORKERS, lambda now: {"workers": WorkersHealth(0, now - minutes(1))}, True),
    (NoticeKind.WORKERS, lambda now: {"workers": WorkersHealth(1, now - minutes(1), StandingIn.SERVICE)}, True),
    (NoticeKind.DISTRUST, lambda now: {"doubts": (DoubtedScores(now, None, "why", {"a/b": 0}),)}, True),
    (NoticeKind.DISTRUST, lambda now: {"doubts": (DoubtedScores(now - minutes(1440), None, "", {"a/b": 0}),)}, False),
]


@pytest.mark.parametrize(("kind", "facts", "is_told"), CASES)
def test_other_things_are_told_at_once(
    kind: NoticeKind, facts: Callable[[datetime], dict[str, Any]], is_told: bool
) -> None:
    seen = Seen()
    seen.see(1, **facts(NOON))
    assert seen.told == ([(0, kind.value, Phase.BEGUN)] if is_told else [])


@pytest.mark.parametrize("health", [LedgerHealth("cannot be written"), LedgerHealth(None, 3)])
def test_a_ledger_is_told_of_unless_it_recovers_soon(health: LedgerHealth) -> None:
    seen = Seen()
    seen.see(2, ledger=health)
    assert seen.told == []
    seen.see(1, ledger=health)
    assert seen.told == [(2, "ledger", Phase.BEGUN)]


def test_no_purges_at_all_is_what_somebody_wanted() -> None:
    seen = Seen(purges=0)
    seen.see(5)
    assert seen.told == []


def test_a_quota_ends_by_itself_and_untold() -> None:
    seen = Seen()
    seen.see(30, purged_today=100)
    seen.see(60)
    seen.see(1, purged_today=100)
    assert seen.told == [(0, "purge_quota", Phase.BEGUN), (90, "purge_quota", Phase.BEGUN)]


def test_a_hunt_is_told_while_pictures_are_left_and_when_it_found_more() -> None:
    seen = Seen()
    seen.see(30, hunted=HuntedPictures(NOON, 0, 2))
    seen.see(120, hunted=HuntedPictures(NOON + minutes(30), 0, 3))
    seen.see(60, hunted=HuntedPictures(NOON + minutes(150), 3, 0))
    seen.see(60, hunted=HuntedPictures(NOON + minutes(150), 3, 0))
    assert seen.told == [(minute, "hunt", Phase.BEGUN) for minute in (0, 60, 150)], "and its end is not told"


def test_another_suspended_entry_is_told_within_the_hour() -> None:
    first, second = SuspendedEntry(7, "community", NOON), SuspendedEntry(8, "community", NOON + minutes(5))
    seen = Seen()
    seen.see(5, suspended=(first,))
    seen.see(120, suspended=(first, second))
    assert seen.told == [(0, "flood_guard", Phase.BEGUN), (60, "flood_guard", Phase.BEGUN)]
    assert seen.last[0].told_before == NOON


def test_a_worker_that_is_started_again_is_no_news_and_one_that_goes_on_and_off_is_no_flood() -> None:
    seen = Seen()
    for _ in range(100):
        seen.see(1, workers=WorkersHealth(0, seen.now))
        seen.see(1, workers=WorkersHealth(1))
    assert seen.told == []
    for _ in range(100):
        since = seen.now
        for _ in range(3):
            seen.see(1, workers=WorkersHealth(0, since, unscanned_since=since))
        seen.see(2, workers=WorkersHealth(1))
    assert [phase for _, _, phase in seen.told] == [Phase.BEGUN]


@pytest.mark.parametrize(
    ("health", "kinds"),
    [
        *((WorkersHealth(0, NOON, each), ["workers"]) for each in StandingIn),
        (WorkersHealth(0), []),
        (WorkersHealth(1), ["scanner"]),
    ],
)
def test_that_nothing_is_scanned_for_want_of_workers_is_told_once(health: WorkersHealth, kinds: list[str]) -> None:
    seen = Seen()
    seen.see(5, scanner_problem=SILENT, workers=health)
    assert [kind for _, kind, _ in seen.told] == kinds
    without = Seen(NoticeSettings(kinds=(NoticeKind.SCANNER,)))
    without.see(5, scanner_problem=SILENT, workers=health)
    assert [kind for _, kind, _ in without.told] == ["scanner"]


def test_that_those_who_stood_in_have_left_is_told_at_once_and_then_once_an_hour() -> None:
    seen = Seen()
    stood_in = WorkersHealth(0, NOON, StandingIn.FEDI_SAFETY)
    seen.see(5, workers=stood_in)
    for _ in range(10):
        left_at = seen.now
        seen.see(3, workers=WorkersHealth(0, NOON, unscanned_since=left_at))
        seen.see(4, workers=stood_in)
    assert [each for each in seen.told if each[0] < 60] == [(1, "workers", Phase.BEGUN), (6, "workers", Phase.BEGUN)]
    assert len(seen.told) <= 3


def test_that_the_only_worker_goes_on_and_off_is_no_news_each_hour() -> None:
    seen = Seen()
    seen.see(5, workers=WorkersHealth(0, NOON, unscanned_since=NOON))
    for _ in range(40):
        seen.see(1, workers=WorkersHealth(1))
        gone = seen.now
        seen.see(3, workers=WorkersHealth(0, gone, unscanned_since=gone))
    assert [phase for _, _, phase in seen.told] == [Phase.BEGUN]


def test_another_doubt_is_told_within_the_hour_and_its_end_is_not() -> None:
    first, second = (DoubtedScores(NOON + minutes(each), None, "why", {"a/b": 0}) for each in (0, 5))
    seen = Seen()
    seen.see(5, doubts=(first,))
    seen.see(1440, doubts=(first, second))
    seen.see(1440)
    assert seen.told == [(0, "distrust", Phase.BEGUN), (60, "distrust", Phase.BEGUN)]
    assert seen.last[0].told_before == NOON


def test_a_burst_of_a_source_is_what_its_quota_is_for() -> None:
    seen = Seen()
    seen.see(1, is_over_quota=True)
    seen.see(30)
    assert seen.told == []
    for _ in range(3):
        seen.see(1, is_over_quota=True)
        seen.see(2)
    assert seen.told == [(34, "source_quota", Phase.BEGUN)]
    seen.see(60)
    assert len(seen.told) == 1, "its end is not told"


def test_kinds_that_nobody_wants_are_not_told() -> None:
    seen = Seen(SETTINGS.model_copy(update={"kinds": (NoticeKind.REJECTED, NoticeKind.LEDGER)}))
    seen.see(10, scanner_problem=SILENT, purged_today=100, ledger=LedgerHealth("is lost"))
    assert {kind for _, kind, _ in seen.told} == {"ledger"}


def test_another_process_goes_on_where_one_has_ended() -> None:
    yesterday = NOON - timedelta(hours=23)
    told = [
        Told(yesterday, None, {NoticeKind.SCANNER: yesterday, NoticeKind.PENDING: yesterday}),
        Told(NOON - minutes(30), None, {}, frozenset({NoticeKind.PENDING})),
    ]
    seen = Seen(told=told)
    seen.see(70, scanner_problem=SILENT, pending=PendingDecisions(100, NOON))
    assert seen.told == [(0, "pending", Phase.BEGUN), (60, "scanner", Phase.LASTS)]
    ended = Seen(told=told)
    ended.see(60)
    assert ended.told == [(5, "scanner", Phase.OVER)]


@given(st.lists(st.tuples(st.sampled_from(["nothing", "scanner", "ledger", "both"]), st.integers(1, 90)), max_size=30))
def test_whatever_happens_nothing_is_told_too_often(course: list[tuple[str, int]]) -> None:
    seen = Seen()
    facts: dict[str, dict[str, Any]] = {
        "nothing": {},
        "scanner": {"scanner_problem": SILENT},
        "ledger": {"ledger": LedgerHealth("is lost")},
        "both": {"scanner_problem": SILENT, "ledger": LedgerHealth("is lost")},
    }
    for what, for_minutes in course:
        seen.see(for_minutes, **facts[what])
    for kind in ("scanner", "ledger"):
        mine = [(minute, phase) for minute, each, phase in seen.told if each == kind]
        begun = [minute for minute, phase in mine if phase is not Phase.OVER]
        assert all(later - earlier >= APART // minutes(1) for earlier, later in itertools.pairwise(begun))
        pairs = list(itertools.pairwise(mine))
        assert not any(first[1] is Phase.OVER and second[1] is not Phase.BEGUN for first, second in pairs)
        assert not any(first[1] is not Phase.OVER and second[1] is Phase.BEGUN for first, second in pairs)
