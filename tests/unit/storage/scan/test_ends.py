"""However a run ends, its journal tells no lie: nothing is removed twice, nor told as kept once it is removed."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain import AuditEntry
from serve_app.ledger import MemoryLedger
from serve_app.purges import purges_since
from serve_app.storage.scan.disposal import OnReject
from serve_app.storage.scan.outcome import FileOutcome, FileRecord
from serve_app.storage.scan.run import Terms
from tests.unit.storage.scan.fakes import NOON, ScanBench, bench_of

WORDS = ["accept", "reject", "flag", "reject", "undecodable", "reject", "overloaded", "accept"]
REJECTED = ["01", "03", "05"]
KEPT = (FileOutcome.ACCEPTED, FileOutcome.FLAGGED, FileOutcome.REJECTED, FileOutcome.UNSCANNABLE)


class DeathError(BaseException):
    """The program ends here."""


class Countdown:
    """Raises at the given point, and at all after it: a dead program does nothing more."""

    def __init__(self, at: int) -> None:
        self.left = at

    @property
    def is_dead(self) -> bool:
        return self.left <= 0

    def tick(self) -> None:
        self.left -= 1
        if self.is_dead:
            raise DeathError

    async def point(self, _: str) -> None:
        self.tick()
        await asyncio.sleep(0)
        self.tick()


class MortalLedger(MemoryLedger):
    """An audit whose program may die before and after each entry."""

    def __init__(self) -> None:
        super().__init__()
        self.tick: Callable[[], None] = lambda: None

    async def audit(self, entry: AuditEntry) -> None:
        self.tick()
        await super().audit(entry)
        self.tick()

    async def audit_within(self, entry: AuditEntry, most_a_day: int, once_per: str) -> bool:
        self.tick()
        is_room = await super().audit_within(entry, most_a_day, once_per)
        self.tick()
        return is_room


def mortal_bench() -> tuple[ScanBench, MortalLedger]:
    """A store whose rejected pictures an earlier run has told as still there."""
    audit = MortalLedger()
    bench = bench_of(*[f"{word} {number}" for number, word in enumerate(WORDS)])
    bench.audit = audit
    asyncio.run(bench.run())
    return bench, audit


async def die(bench: ScanBench, audit: MortalLedger, countdown: Countdown, terms: Terms, how: OnReject) -> None:
    def before_add(_: Sequence[FileRecord]) -> None:
        countdown.tick()

    bench.source.point = bench.scanner.point = countdown.point
    bench.journal.before_add = before_add
    audit.tick = countdown.tick
    with contextlib.suppress(DeathError, BaseExceptionGroup):
        await bench.run(bench.removal(how=how), terms)


def require_truth(bench: ScanBench) -> None:
    for name in REJECTED:
        told = bench.journal.outcomes.get(name)
        if name not in bench.source.bodies:
            assert told not in KEPT, f"{name} is removed, and told as {told}"
        else:
            assert told not in (FileOutcome.PURGED, FileOutcome.QUARANTINED, FileOutcome.GONE)


async def require_the_end(bench: ScanBench, audit: MortalLedger, terms: Terms, how: OnReject) -> None:
    """Resumed, the run does the rest."""

    async def nothing(_: str) -> None:
        await asyncio.sleep(0)

    bench.source.point = bench.scanner.point = nothing
    bench.journal.before_add = lambda _: None
    audit.tick = lambda: None
    bench.stop.clear()
    await bench.run(bench.removal(how=how), terms)
    require_truth(bench)
    removed = bench.source.quarantined if how is OnReject.QUARANTINE else bench.source.removed
    assert sorted(removed) == REJECTED, "each is removed once"
    assert sorted(bench.source.bodies) == [f"{n:02}" for n in range(len(WORDS)) if f"{n:02}" not in REJECTED]
    purges = await purges_since(audit, NOON)
    assert {each.aliases[0] for each in purges} == set(REJECTED), "each is in the audit"


@pytest.mark.parametrize(("at_once", "how"), [(1, OnReject.QUARANTINE), (4, OnReject.PURGE)])
def test_a_program_may_die_at_any_moment(at_once: int, how: OnReject) -> None:
    terms = Terms(1_000, at_once=at_once)
    for moment in range(1, 1_000):
        bench, audit = mortal_bench()
        countdown = Countdown(moment)
        asyncio.run(die(bench, audit, countdown, terms, how))
        require_truth(bench)
        asyncio.run(require_the_end(bench, audit, terms, how))
        if not countdown.is_dead:
            break
    assert moment > 30, "there are that many moments"


@settings(max_examples=10)
@given(st.lists(st.integers(1, 60), max_size=10))
def test_a_program_may_die_ten_times(moments: list[int]) -> None:
    terms = Terms(1_000)
    bench, audit = mortal_bench()
    for moment in moments:
        bench.stop = asyncio.Event()
        asyncio.run(die(bench, audit, Countdown(moment), terms, OnReject.PURGE))
        require_truth(bench)
    bench.stop = asyncio.Event()
    asyncio.run(require_the_end(bench, audit, terms, OnReject.PURGE))


def gate(where: str) -> tuple[asyncio.Event, asyncio.Event, Callable[[str], Awaitable[None]]]:
    """A point at which the first that comes waits: it has come, it may go on."""
    has_come, may_go_on = asyncio.Event(), asyncio.Event()

    async def point(at: str) -> None:
        if at == where:
            has_come.set()
            await may_go_on.wait()

    return has_come, may_go_on, point


@pytest.mark.parametrize("where", ["before removal", "after removal"])
async def test_a_cancelled_run_ends_the_removal_that_has_begun(where: str) -> None:
    bench = bench_of("reject", *["accept"] * 40)
    has_come, may_go_on, bench.source.point = gate(where)
    run = asyncio.create_task(bench.run(bench.removal(), Terms(1_000, at_once=1)))
    await has_come.wait()
    run.cancel()
    await asyncio.sleep(0)
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert bench.journal.outcomes["00"] is FileOutcome.PURGED
    (purge,) = await purges_since(bench.audit, NOON)
    assert purge.purged == ("00",)
    assert {each.file.name: each for each in bench.noted} == bench.journal.by_name


async def test_a_run_that_is_cancelled_twice_loses_no_finished_record() -> None:
    bench = bench_of(*["accept"] * 40, "reject")
    has_come, _, bench.source.point = gate("after removal")
    run = asyncio.create_task(bench.run(bench.removal(), Terms(1_000, at_once=1)))
    await has_come.wait()
    run.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not run.done(), "it waits for the removal"
    for task in asyncio.all_tasks() - {asyncio.current_task()}:  # as asyncio.run does it at the second Ctrl-C
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(bench.noted) == 40
    assert {each.file.name for each in bench.noted} <= set(bench.journal.by_name)
    assert bench.journal.by_name["40"].outcome is FileOutcome.LATER
    assert "`pictwarden purges` says how far it came" in bench.journal.by_name["40"].why


async def test_a_failure_beside_a_removal_does_not_cut_it_off() -> None:
    bench = bench_of("reject", *["accept"] * 40)
    has_come, may_go_on, bench.source.point = gate("before removal")

    async def fail(_: str) -> None:
        if bench.scanner.bodies[-1] == b"accept":
            await has_come.wait()
            asyncio.get_running_loop().call_soon(may_go_on.set)
            raise ZeroDivisionError("a fault")

    bench.scanner.point = fail
    with pytest.raises(ZeroDivisionError):
        await bench.run(bench.removal())
    assert bench.journal.outcomes["00"] is FileOutcome.PURGED


async def test_an_audit_that_fails_removes_nothing_and_is_told() -> None:
    bench = bench_of("reject")

    class Broken(MemoryLedger):
        async def audit_within(self, entry: AuditEntry, most_a_day: int, once_per: str) -> bool:
            raise OSError("disk is full")

    bench.audit = Broken()
    with pytest.raises(OSError, match="disk is full"):
        await bench.run(bench.removal())
    assert sorted(bench.source.bodies) == ["00"]


class Measured:
    """How many bytes of files are out at once: from reading a file to the service's answer about it."""

    def __init__(self, bench: ScanBench) -> None:
        self.now = self.most = 0
        read, scan = bench.source.read, bench.scanner.scan

        async def reading(file, max_bytes):
            self.now += file.size_bytes
            self.most = max(self.most, self.now)
            return await read(file, max_bytes)

        async def scanning(body, of_source=""):
            for _ in range(len(body) % 7):
                await asyncio.sleep(0)
            answered = await scan(body)
            self.now -= len(body)
            return answered

        bench.source.read = reading  # type: ignore[method-assign]
        bench.scanner.scan = scanning  # type: ignore[method-assign]


@given(st.lists(st.integers(1, 40), max_size=25), st.integers(1, 60), st.integers(1, 5))
def test_what_is_read_ahead_fits_into_the_memory_for_it(sizes: list[int], bound: int, at_once: int) -> None:
    bench = bench_of(*["a" * size for size in sizes])
    bench.source.part = 10
    for name, body in bench.source.bodies.items():
        bench.source.bodies[name] = body.replace(b"aaaaaaa", b"accept ", 1)
    measured = Measured(bench)
    # Words that nobody knows are for later, five times.
    asyncio.run(bench.run(terms=Terms(1_000, at_once=at_once, read_ahead_bytes=bound)))
    assert measured.most <= max([bound, *sizes])
    assert bench.counts.total() == len(sizes) or bench.stop.is_set()


async def test_a_large_file_is_not_kept_waiting_by_small_ones_that_come_later() -> None:
    bench = bench_of("accept s", "accept " + "l" * 100, *["accept s"] * 200)
    await bench.run(terms=Terms(1_000, read_ahead_bytes=50))
    order = [len(body) for body in bench.scanner.bodies]
    assert order.index(107) <= 8
    assert bench.counts == Counter({FileOutcome.ACCEPTED: 202})
