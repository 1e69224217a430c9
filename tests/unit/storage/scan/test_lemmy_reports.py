"""Rejected pictures of pict-rs in Lemmy's queue: reported once, and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from serve_app.domain import LemmyUnavailableError
from serve_app.ledger import MemoryLedger
from serve_app.lemmy import Reporter, Shown
from serve_app.storage.scan.lemmy_reports import LemmyReports
from serve_app.storage.scan.outcome import FileOutcome
from serve_app.storage.scan.source import StoredFile
from tests.unit.storage.scan.fakes import NOON, MemorySource, bench_of

PICTURE = StoredFile("a" * 78, 9, "", aliases=("a.png",))


@dataclass
class Queue:
    """Lemmy's queue, with one post that shows every picture, or none yet."""

    reasons: list[str] = field(default_factory=list)
    is_away: bool = False
    shows: bool = True

    async def shown(self, aliases: Sequence[str]) -> tuple[Shown, ...]:
        if self.is_away:
            raise LemmyUnavailableError("no answer")
        return (
            (Shown("post", 7, "https://lemmy.example/post/7", "alice@lemmy.example"),) if aliases and self.shows else ()
        )

    async def report(self, shown: Shown, reason: str) -> bool:
        self.reasons.append(reason)
        return True


async def test_a_picture_is_reported_once_whatever_decision_says_so() -> None:
    queue, ledger = Queue(), MemoryLedger()
    first = await LemmyReports(Reporter(queue, ledger, "bob")).dispose(PICTURE, "1" * 64, "rule no-red")
    again = await LemmyReports(Reporter(queue, ledger, "bob")).dispose(PICTURE, "1" * 64, "rule no-red")
    assert first == (FileOutcome.REJECTED, "reported post 7.")
    assert again == (FileOutcome.REJECTED, "reported before post 7; Lemmy was asked within the last 7 days.")
    assert queue.reasons == ["Pictwarden: rule no-red of this instance rejects the picture"]


async def test_what_an_ordinary_run_rejected_is_reported_by_a_later_one_and_what_has_no_post_yet_once_it_has() -> None:
    bench, queue = bench_of("reject", "accept"), Queue(shows=False)
    clock = [NOON]
    reports = LemmyReports(Reporter(queue, MemoryLedger(), "bob", lambda: clock[0]))
    bench.source = Aliased(bench.source.bodies)
    rows: list[FileOutcome] = []
    bench.journal.before_add = lambda records: rows.extend(each.outcome for each in records)
    await bench.run()
    await bench.run(reports)
    assert (queue.reasons, bench.journal.outcomes["00"]) == ([], FileOutcome.REJECTED)
    queue.shows = True
    await bench.run(reports)
    assert queue.reasons == [], "Lemmy permits few searches"
    clock[0] += timedelta(days=1, minutes=1)
    for _ in range(2):
        await bench.run(reports)
    assert len(queue.reasons) == 1
    assert set(rows) == {FileOutcome.REJECTED, FileOutcome.ACCEPTED}, "no removal has begun"


class Aliased(MemorySource):
    def file(self, name: str) -> StoredFile:
        return replace(super().file(name), aliases=(f"{name}.png",))


async def test_while_lemmy_is_away_the_picture_waits_for_the_next_run() -> None:
    reports = LemmyReports(Reporter(Queue(is_away=True), MemoryLedger(), "bob"))
    assert await reports.dispose(PICTURE, "1" * 64, "rule no-red") == (FileOutcome.LATER, "no answer")
