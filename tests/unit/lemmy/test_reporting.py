"""Reports in Lemmy's queue: one for each post and decision, whatever happens in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from serve_app.domain import LemmyUnavailableError
from serve_app.ledger import MemoryLedger
from serve_app.lemmy import REPORT, Reported, Reporter, Shown

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
POST = Shown("post", 7, "https://mastodon.example/users/carol/statuses/7", "carol@mastodon.example")
COMMENT = Shown("comment", 7, "https://elsewhere.example/comment/7", "bob@elsewhere.example")


@dataclass
class Queue:
    """Lemmy's queue: of one account it takes one report of a post."""

    found: tuple[Shown, ...] = (POST, COMMENT)
    limit: int = 100
    reports: list[tuple[str, str]] = field(default_factory=list)
    asked: int = 0

    async def shown(self, aliases: Sequence[str]) -> tuple[Shown, ...]:
        return self.found if aliases else ()

    async def report(self, shown: Shown, reason: str) -> bool:
        self.asked += 1
        if len(self.reports) >= self.limit:
            raise LemmyUnavailableError("asked too often")
        if any(name == shown.name for name, _ in self.reports):
            return False
        self.reports.append((shown.name, reason))
        return True


def reporter(queue: Queue, ledger: MemoryLedger) -> Reporter:
    return Reporter(queue, ledger, "alice", lambda: NOON)


async def test_each_post_is_reported_once_for_a_decision() -> None:
    queue, ledger = Queue(), MemoryLedger()
    first = await reporter(queue, ledger).report(["a.png"], "r-1", "it is denied")
    assert first == Reported(now=(POST, COMMENT))
    assert first.summary == "reported post 7, comment 7"
    assert queue.reports == [("post 7", "it is denied"), ("comment 7", "it is denied")]
    again = reporter(queue, ledger)
    for _ in range(2):
        assert await again.report(["a.png"], "r-1", "it is denied") == Reported(before=(POST, COMMENT))
    assert queue.asked == 2


async def test_the_audit_says_what_was_reported_and_names_nobody() -> None:
    queue, ledger = Queue((POST,)), MemoryLedger()
    await reporter(queue, ledger).report(["a.png"], "r-1", "it is denied")
    (entry,) = await ledger.audited(REPORT, NOON)
    assert (entry.actor, entry.at) == ("alice", NOON)
    assert entry.detail == {"decision": "r-1", "on": "post 7"}


async def test_what_lemmy_takes_no_second_time_is_told() -> None:
    queue, ledger = Queue((POST,)), MemoryLedger()
    await reporter(queue, ledger).report(["a.png"], "r-1", "it is denied")
    other = await reporter(queue, ledger).report(["a.png"], "r-2", "it is denied")
    assert (other, other.summary) == (Reported(refused=(POST,)), "Lemmy takes no report of post 7")
    assert len(queue.reports) == 1


async def test_after_an_interruption_the_rest_is_reported() -> None:
    queue, ledger = Queue(limit=1), MemoryLedger()
    with pytest.raises(LemmyUnavailableError):
        await reporter(queue, ledger).report(["a.png"], "r-1", "it is denied")
    queue.limit = 100
    rest = await reporter(queue, ledger).report(["a.png"], "r-1", "it is denied")
    assert rest == Reported(now=(COMMENT,), before=(POST,))
    assert rest.summary == "reported comment 7; reported before post 7"


async def test_where_no_post_is_known_nothing_is_reported() -> None:
    queue = Queue(())
    reported = await reporter(queue, MemoryLedger()).report(["a.png"], "r-1", "it is denied")
    assert reported.summary == "no post or comment to report was found"
    assert queue.asked == 0


async def test_a_long_reason_is_cut_to_what_lemmy_takes() -> None:
    queue = Queue((POST,))
    await reporter(queue, MemoryLedger()).report(["a.png"], "r-1", "é" * 2000)
    assert queue.reports == [("post 7", "é" * 1000)]
