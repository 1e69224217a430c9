"""Reports in Lemmy's queue: one for each post and decision, whatever happens in between."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from serve_app.domain import LemmyUnavailableError
from serve_app.ledger import MemoryLedger
from serve_app.lemmy import REPORT, Reported, Reporter, Shown
from serve_app.lemmy.reporting import SEARCH, SEARCHED_AGAIN_AFTER

ONE, OTHER = "1" * 64, "2" * 64
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
POST = Shown("post", 7, "https://mastodon.example/users/carol/statuses/7", "carol@mastodon.example")
COMMENT = Shown("comment", 7, "https://elsewhere.example/comment/7", "bob@elsewhere.example")


@dataclass
class Queue:
    """Lemmy's queue: of one account it takes one report of a post."""

    found: tuple[Shown, ...] = (POST, COMMENT)
    limit: int = 100
    reports: list[tuple[str, str]] = field(default_factory=list)
    searches: int = 100
    """That Lemmy still permits."""
    asked: int = 0

    async def shown(self, aliases: Sequence[str]) -> tuple[Shown, ...]:
        if not self.searches:
            raise LemmyUnavailableError("asked too often")
        self.searches -= 1
        return self.found if aliases else ()

    async def report(self, shown: Shown, reason: str) -> bool:
        self.asked += 1
        if len(self.reports) >= self.limit:
            raise LemmyUnavailableError("asked too often")
        if any(name == shown.name for name, _ in self.reports):
            return False
        self.reports.append((shown.name, reason))
        return True


def reporter(queue: Queue, ledger: MemoryLedger, after: timedelta = timedelta()) -> Reporter:
    return Reporter(queue, ledger, "alice", lambda: NOON + after)


async def test_each_post_is_reported_once_for_a_picture() -> None:
    queue, ledger = Queue(), MemoryLedger()
    first = await reporter(queue, ledger).report(["a.png"], ONE, "it is denied")
    assert first == Reported(now=("post 7", "comment 7"))
    assert first.summary == "reported post 7, comment 7"
    assert queue.reports == [("post 7", "it is denied"), ("comment 7", "it is denied")]
    again = reporter(queue, ledger, SEARCHED_AGAIN_AFTER + timedelta(seconds=1))
    assert await again.report(["a.png"], ONE, "it is denied") == Reported(before=("post 7", "comment 7"))
    assert queue.asked == 2


async def test_runs_go_on_where_the_last_one_met_the_limit_on_searches() -> None:
    queue, ledger, pictures = Queue(()), MemoryLedger(), [f"{number:064x}" for number in range(10)]
    for run in range(4):
        queue.searches = 3
        hunt = reporter(queue, ledger, run * timedelta(hours=6))
        done = []
        with contextlib.suppress(LemmyUnavailableError):
            for sha256 in pictures:
                await hunt.report([f"{sha256}.png"], sha256, "it is denied")
                done.append(sha256)
        assert len(done) == min(3 * (run + 1), 10)
    assert queue.searches == 2


async def test_what_nothing_showed_is_searched_for_after_a_day_and_then_after_a_week() -> None:
    queue, ledger, searched = Queue((), searches=100), MemoryLedger(), []
    for day in range(20):
        told = await reporter(queue, ledger, timedelta(days=day, minutes=day)).report(["a.png"], ONE, "it is denied")
        searched += [day] if told.is_searched else []
    assert searched == [0, 1, 8, 15]


async def test_a_picture_that_was_searched_for_lately_is_told_from_the_audit() -> None:
    queue, ledger = Queue(searches=2), MemoryLedger()
    await reporter(queue, ledger).report(["a.png"], ONE, "it is denied")
    for again in (reporter(queue, ledger), reporter(queue, ledger, SEARCHED_AGAIN_AFTER)):
        told = await again.report(["a.png"], ONE, "it is denied")
        assert told == Reported(before=("post 7", "comment 7"), is_searched=False)
    assert told.summary == "reported before post 7, comment 7; Lemmy was asked within the last 7 days"
    assert queue.searches == 1


async def test_what_was_searched_for_is_erased_like_requests_that_read() -> None:
    ledger = MemoryLedger()
    await reporter(Queue(()), ledger).report(["a.png"], ONE, "it is denied")
    await reporter(Queue(()), ledger).report([], OTHER, "it is denied")
    (entry,) = await ledger.audit_trail()
    assert (entry.action, entry.detail, entry.is_read) == (SEARCH, {"sha256": ONE, "found": 0}, True)


async def test_the_audit_says_what_was_reported_and_names_nobody() -> None:
    queue, ledger = Queue((POST,)), MemoryLedger()
    await reporter(queue, ledger).report(["a.png"], ONE, "it is denied")
    (entry,) = await ledger.audited(REPORT, NOON)
    assert (entry.actor, entry.at) == ("alice", NOON)
    assert entry.detail == {"sha256": ONE, "on": "post 7"}


async def test_what_lemmy_takes_no_second_time_is_told() -> None:
    queue, ledger = Queue((POST,)), MemoryLedger()
    await reporter(queue, ledger).report(["a.png"], ONE, "it is denied")
    other = await reporter(queue, ledger).report(["a.png"], OTHER, "it is denied")
    assert (other, other.summary) == (Reported(refused=("post 7",)), "Lemmy takes no report of post 7")
    assert len(queue.reports) == 1


async def test_after_an_interruption_the_rest_is_reported() -> None:
    queue, ledger = Queue(limit=1), MemoryLedger()
    with pytest.raises(LemmyUnavailableError):
        await reporter(queue, ledger).report(["a.png"], ONE, "it is denied")
    queue.limit = 100
    rest = await reporter(queue, ledger).report(["a.png"], ONE, "it is denied")
    assert rest == Reported(now=("comment 7",), before=("post 7",))
    assert rest.summary == "reported comment 7; reported before post 7"


async def test_where_no_post_is_known_nothing_is_reported() -> None:
    queue = Queue(())
    reported = await reporter(queue, MemoryLedger()).report(["a.png"], ONE, "it is denied")
    assert reported.summary == "no post or comment to report was found"
    assert queue.asked == 0


async def test_a_long_reason_is_cut_to_what_lemmy_takes() -> None:
    queue = Queue((POST,))
    await reporter(queue, MemoryLedger()).report(["a.png"], ONE, "é" * 2000)
    assert queue.reports == [("post 7", "é" * 1000)]
