"""A run scans each file once, resumes where it was, and removes nothing but what was rejected."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import (
    FileGoneError,
    FileUnreadableError,
    StorageRefusedError,
    StorageUnavailableError,
    TooLargeError,
    UnauthorisedError,
    UnavailableError,
    UnscannedReason,
    Verdict,
)
from serve_app.purges import purges_since
from serve_app.storage.scan.disposal import OnReject
from serve_app.storage.scan.outcome import FileOutcome, FileRecord
from serve_app.storage.scan.run import MOST_IN_VAIN, TRIES, Progress, Terms
from serve_app.storage.scan.source import StoredFile, Wanted
from tests.unit.storage.scan.fakes import NOON, MemorySource, ScanBench, bench_of, sha256_of

OUTCOMES = {
    "accept": FileOutcome.ACCEPTED,
    "flag": FileOutcome.FLAGGED,
    "reject": FileOutcome.REJECTED,
    "undecodable": FileOutcome.UNSCANNABLE,
    "truncated": FileOutcome.UNSCANNABLE,
    "unsupported": FileOutcome.UNSCANNABLE,
    "too_large": FileOutcome.TOO_LARGE,
    "deadline": FileOutcome.LATER,
    "overloaded": FileOutcome.LATER,
    "unavailable": FileOutcome.LATER,
    "something_new": FileOutcome.LATER,
}


def others() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_every_file_is_scanned_once_and_noted() -> None:
    bench = bench_of(*[f"accept {number}" for number in range(50)])
    scan = await bench.run()
    assert sorted(bench.scanner.bodies) == sorted(bench.source.bodies.values())
    assert scan.progress.done == Counter({FileOutcome.ACCEPTED: 50})
    assert scan.progress.scanned_bytes == sum(map(len, bench.source.bodies.values()))
    assert sorted(each.file.name for each in bench.noted) == sorted(bench.journal.by_name)
    assert len(bench.noted) == 50
    assert others() == set()


async def test_an_empty_store_is_done_at_once() -> None:
    scan = await bench_of().run()
    assert (scan.progress.files, others()) == (0, set())


def test_every_reason_and_verdict_has_an_outcome() -> None:
    assert set(OUTCOMES) == {*Verdict, *UnscannedReason, "something_new"}


@pytest.mark.parametrize("word", OUTCOMES)
@pytest.mark.parametrize("how", [OnReject.PURGE, OnReject.QUARANTINE])
async def test_nothing_but_a_rejected_picture_is_removed(word: str, how: OnReject) -> None:
    bench = bench_of(f"{word} this")
    await bench.run(bench.removal(how=how))
    is_removed = OUTCOMES[word] is FileOutcome.REJECTED
    assert (bench.source.removed + bench.source.quarantined == ["00"]) is is_removed
    assert bool(await purges_since(bench.audit, NOON)) is is_removed
    if not is_removed:
        assert bench.journal.outcomes == {"00": OUTCOMES[word]}


@given(st.lists(st.sampled_from(sorted(OUTCOMES)), max_size=15))
def test_a_store_keeps_all_but_its_rejected_pictures(words: list[str]) -> None:
    async def run() -> None:
        bench = bench_of(*[f"{word} {number}" for number, word in enumerate(words)])
        scan = await bench.run(bench.removal())
        kept = [f"{number:02}" for number, word in enumerate(words) if word != "reject"]
        assert sorted(bench.source.bodies) == kept
        assert {name: bench.journal.outcomes[name] for name in kept} == {
            name: OUTCOMES[words[int(name)]] for name in kept
        }
        assert scan.progress.done == bench.counts

    asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (FileGoneError("it is not there any more"), FileOutcome.GONE),
        (FileUnreadableError("it is a folder"), FileOutcome.UNREADABLE),
        (TooLargeError("2 bytes; the limit is 1"), FileOutcome.TOO_LARGE),
        (StorageUnavailableError("no answer"), FileOutcome.LATER),
    ],
)
async def test_a_file_that_cannot_be_read_is_told_and_stays(error: Exception, outcome: FileOutcome) -> None:
    bench = bench_of("reject this", "accept that")
    bench.source.errors["00"] = error
    await bench.run(bench.removal())
    assert bench.journal.outcomes == {"00": outcome, "01": FileOutcome.ACCEPTED}
    assert bench.journal.by_name["00"].why == str(error)
    assert sorted(bench.source.bodies) == ["00", "01"]


async def test_an_empty_file_is_not_sent() -> None:
    bench = bench_of("")
    await bench.run(bench.removal())
    assert (bench.scanner.bodies, bench.counts) == ([], Counter({FileOutcome.UNSCANNABLE: 1}))


async def test_what_is_done_is_skipped_and_what_has_changed_is_scanned_again() -> None:
    bench = bench_of("accept", "flag", "undecodable", "reject")
    await bench.run()
    bench.source.bodies["01"] = b"accept me"
    bench.scanner.bodies.clear()
    scan = await bench.run()
    assert bench.scanner.bodies == [b"accept me"]
    assert scan.progress.skipped == Counter(
        {FileOutcome.ACCEPTED: 1, FileOutcome.UNSCANNABLE: 1, FileOutcome.REJECTED: 1}
    )
    assert scan.progress.files == 4


async def test_what_was_rejected_is_scanned_again_before_it_is_removed() -> None:
    bench = bench_of("accept", "reject")
    await bench.run()
    bench.scanner.bodies.clear()
    await bench.run(bench.removal())
    assert (bench.scanner.bodies, bench.source.removed) == ([b"reject"], ["01"])
    assert bench.journal.outcomes["01"] is FileOutcome.PURGED


@pytest.mark.parametrize("outcome", [each for each in FileOutcome if not each.is_final])
async def test_what_is_not_final_is_scanned_again(outcome: FileOutcome) -> None:
    bench = bench_of("accept")
    bench.journal.add([FileRecord(bench.source.file("00"), outcome, NOON)])
    await bench.run(bench.removal())
    assert bench.journal.outcomes == {"00": FileOutcome.ACCEPTED}


async def test_all_of_it_is_scanned_again_if_asked_for() -> None:
    bench = bench_of("accept", "flag")
    await bench.run()
    again = Terms(1_000, again_before=NOON + timedelta(seconds=1))
    scan = await bench.run(terms=again)
    assert (len(bench.scanner.bodies), scan.progress.done.total(), scan.progress.skipped.total()) == (4, 2, 0)
    scan = await bench.run(terms=replace(again, again_before=NOON))
    assert (len(bench.scanner.bodies), scan.progress.skipped.total()) == (4, 2), "they were done at noon"


async def test_only_what_is_wanted_is_scanned() -> None:
    bench = bench_of(*["accept"] * 12)
    await bench.run(wanted=Wanted(prefix="1"))
    assert sorted(bench.journal.by_name) == ["10", "11"]


async def test_a_limit_is_for_what_is_not_done_yet() -> None:
    bench = bench_of(*["accept"] * 12)
    for done in (4, 8, 12, 12):
        await bench.run(terms=Terms(1_000, limit=4))
        assert sorted(bench.journal.by_name) == [f"{each:02}" for each in range(done)]


async def test_a_stopped_run_finishes_what_it_has_begun_and_begins_nothing_else() -> None:
    bench = bench_of(*["accept"] * 90)
    arrived, go = asyncio.Event(), asyncio.Event()

    async def wait(_: str) -> None:
        if len(bench.scanner.bodies) == 4:
            arrived.set()
        await go.wait()

    bench.scanner.point = wait
    run = asyncio.create_task(bench.run())
    await arrived.wait()
    begun = len(bench.source.read_names)
    bench.stop.set()
    go.set()
    await run
    assert len(bench.journal.by_name) == len(bench.scanner.bodies) == begun <= 8
    bench.stop.clear()
    await bench.run()
    assert (len(bench.scanner.bodies), bench.counts) == (90, Counter({FileOutcome.ACCEPTED: 90}))


async def test_a_file_that_waits_for_memory_is_not_begun_after_the_stop() -> None:
    bench = bench_of("accept 1", "accept 2")
    go = asyncio.Event()

    async def wait(_: str) -> None:
        bench.stop.set()
        go.set()

    bench.scanner.point = wait
    await bench.run(terms=Terms(1_000, read_ahead_bytes=8))
    assert len(bench.scanner.bodies) == 1


async def test_the_used_up_quota_ends_the_run_and_leaves_the_rest() -> None:
    bench = bench_of(*[f"reject {number}" for number in range(30)])
    scan = await bench.run(bench.removal(most_a_day=5))
    assert (len(bench.source.removed), len(bench.source.bodies)) == (5, 25)
    assert scan.progress.is_quota_used_up
    assert bench.stop.is_set()
    left = [each for each in bench.noted if each.outcome is FileOutcome.REJECTED]
    assert 1 <= len(left) <= 2 * Terms(1_000).at_once, "those that were begun when it was used up"
    assert {each.why for each in left} == {"reject. It was not removed: today's quota of purges is used up."}
    assert all(each.sha256 and each.request_id for each in left), "people can ask why"
    bench.stop.clear()
    await bench.run(bench.removal(most_a_day=100))
    assert sorted(bench.source.removed) == [f"{number:02}" for number in range(30)]


async def test_a_picture_that_changes_before_its_removal_stays_and_does_not_count_as_in_vain() -> None:
    bench = bench_of(*[f"reject {number}" for number in range(2 * MOST_IN_VAIN)])

    async def change(where: str) -> None:
        if where == "before removal":
            for name in bench.source.bodies:
                bench.source.bodies[name] = f"accept {name}".encode()

    bench.source.point = change
    bench.source.part = 1_000
    await bench.run(bench.removal())
    assert bench.source.removed == []
    assert len(bench.source.bodies) == 2 * MOST_IN_VAIN


@pytest.mark.parametrize("error", [StorageUnavailableError("no answer"), FileUnreadableError("Read-only file system")])
async def test_a_picture_that_cannot_be_removed_is_told_as_still_there(error: Exception) -> None:
    bench = bench_of("reject")

    async def fail(where: str) -> None:
        if where == "before removal":
            raise error

    bench.source.point = fail
    await bench.run(bench.removal())
    assert bench.journal.outcomes == {"00": FileOutcome.REJECTED}
    assert bench.journal.by_name["00"].why == f"reject. It could not be removed: {error}"


async def test_a_store_that_refuses_ends_the_run() -> None:
    bench = bench_of(*["reject"] * 30)

    async def fail(where: str) -> None:
        if where == "before removal":
            raise StorageRefusedError("allow s3:DeleteObject")

    bench.source.point = fail
    with pytest.raises(StorageRefusedError, match="DeleteObject"):
        await bench.run(bench.removal())
    assert (len(bench.source.bodies), others()) == (30, set())


async def test_what_cannot_be_scanned_for_now_is_sent_again_ever_later() -> None:
    bench = bench_of("overloaded")
    await bench.run()
    assert (len(bench.scanner.bodies), bench.slept_s) == (TRIES, [1, 2, 4, 8])
    assert bench.counts == Counter({FileOutcome.LATER: 1})


async def test_a_service_that_restarts_is_waited_for() -> None:
    bench = bench_of("accept")
    bench.scanner.error, bench.scanner.failures = UnavailableError("no answer"), TRIES - 1
    await bench.run()
    assert (bench.slept_s, bench.counts) == ([1, 2, 4, 8], Counter({FileOutcome.ACCEPTED: 1}))


async def test_a_service_that_does_nothing_ends_the_run() -> None:
    bench = bench_of(*["overloaded"] * 60)
    with pytest.raises(UnavailableError, match=f"{MOST_IN_VAIN} files in a row could not be scanned \\(overloaded"):
        await bench.run()
    assert bench.counts[FileOutcome.LATER] >= MOST_IN_VAIN
    assert others() == set()


@pytest.mark.parametrize(("limit", "left"), [(None, None), (100, 50), (50, 0), (20, 0)])
def test_a_further_run_of_the_same_command_has_what_is_left_of_the_limit(limit: int | None, left: int | None) -> None:
    terms = Terms(max_body_bytes=1, limit=limit)
    assert terms.after(Progress(Counter({FileOutcome.ACCEPTED: 49, FileOutcome.PURGED: 1}))).limit == left


async def test_many_pictures_that_take_too_long_keep_no_other_from_being_scanned() -> None:
    bench = bench_of(*["deadline"] * (3 * MOST_IN_VAIN), *["accept"] * 20)
    await bench.run()
    assert bench.counts == Counter({FileOutcome.LATER: 3 * MOST_IN_VAIN, FileOutcome.ACCEPTED: 20})


@pytest.mark.parametrize(
    "error", [UnavailableError("no answer"), UnauthorisedError("wrong"), ZeroDivisionError("a fault")]
)
async def test_a_scanner_that_raises_ends_the_run_with_its_error(error: Exception) -> None:
    bench = bench_of(*["accept"] * 60)
    bench.scanner.error, bench.scanner.failures = error, 1_000
    with pytest.raises(type(error), match=str(error)):
        await bench.run()
    assert (bench.journal.by_name, others()) == ({}, set())


async def test_a_listing_that_fails_half_way_ends_the_run_and_what_is_done_stays_done() -> None:
    bench = bench_of(*["accept"] * 60)
    bench.source.listing_fails_after = 30
    bench.source.listing_error = StorageUnavailableError("no answer")
    with pytest.raises(StorageUnavailableError):
        await bench.run()
    assert set(bench.journal.by_name) == {each.file.name for each in bench.noted}
    assert (len(bench.noted) > 0, others()) == (True, set())
    bench.source.listing_fails_after = None
    await bench.run()
    assert len(bench.journal.by_name) == 60


@pytest.mark.parametrize("files", [3, 450])
async def test_a_journal_that_cannot_be_written_ends_the_run(files: int) -> None:
    bench = ScanBench(MemorySource({f"{number:03}": b"accept" for number in range(files)}))

    def fail(_: object) -> None:
        raise UnavailableError("the journal of scans cannot be read or written: disk is full")

    bench.journal.before_add = fail
    with pytest.raises(UnavailableError, match="disk is full"):
        await bench.run()
    assert others() == set()


async def test_nothing_is_removed_that_the_journal_cannot_record() -> None:
    bench = bench_of("reject")

    def fail(_: object) -> None:
        raise UnavailableError("disk is full")

    bench.journal.before_add = fail
    with pytest.raises(UnavailableError):
        await bench.run(bench.removal())
    assert sorted(bench.source.bodies) == ["00"]
    assert await purges_since(bench.audit, NOON) == []


async def test_a_failure_of_the_journal_that_passes_loses_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = ScanBench(MemorySource({f"{number:03}": b"accept" for number in range(450)}))
    failures = [UnavailableError("locked")]

    def fail_once(_: object) -> None:
        if failures:
            raise failures.pop()

    # One write for all, at the end.
    monkeypatch.setattr("serve_app.storage.scan.journal_writer._EVERY_S", 3600.0)
    bench.journal.before_add = fail_once
    with pytest.raises(UnavailableError, match="locked"):
        await bench.run()
    assert {each.file.name for each in bench.noted} <= set(bench.journal.by_name)
    assert len(bench.noted) >= 190


async def test_a_store_that_names_a_file_twice_is_no_error() -> None:
    bench = bench_of("accept")
    listed = [bench.source.file("00")] * 2

    class Twice(MemorySource):
        async def files(self, wanted: Wanted):
            yield listed

    bench.source = Twice(bench.source.bodies)
    await bench.run()
    assert bench.counts == Counter({FileOutcome.ACCEPTED: 1})


async def test_the_digest_of_a_removal_is_of_the_bytes_that_were_scanned() -> None:
    bench = bench_of("reject")
    await bench.run(bench.removal())
    (purge,) = await purges_since(bench.audit, NOON)
    assert (purge.sha256, purge.store, purge.purged) == (sha256_of(b"reject"), "memory:", ("00",))
    assert (purge.why, purge.body_bytes) == ("storage scan: a-rule", 6)


async def test_copies_under_other_names_count_once() -> None:
    bench = bench_of(*["reject"] * 9)
    await bench.run(bench.removal(most_a_day=1))
    assert bench.source.bodies == {}


async def test_the_aliases_of_a_file_are_what_a_purge_is_recorded_with() -> None:
    bench = bench_of("reject")

    class Aliased(MemorySource):
        def file(self, name: str) -> StoredFile:
            return replace(super().file(name), aliases=("a.png", "b.png"))

    bench.source = Aliased(bench.source.bodies)
    await bench.run(bench.removal())
    (purge,) = await purges_since(bench.audit, NOON)
    assert purge.aliases == ("a.png", "b.png")
