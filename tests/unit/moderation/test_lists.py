"""The lists decide in place of the policy; if they fail, they refuse nobody's picture."""

import asyncio
import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    Decision,
    Examination,
    FrameFingerprint,
    Judged,
    Listed,
    ListMatch,
    OnUnscanned,
    Unscanned,
    UnscannedReason,
    Verdict,
)
from serve_app.domain.canary import CANARY_BANK, CANARY_REASON
from serve_app.domain.lists import Bank, EntryDraft, Fingerprint, FingerprintType, ListKind, Matches
from serve_app.ledger import MemoryLedger
from serve_app.lists import Snapshot
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.media.canary import canary_png
from serve_app.moderation import AdmissionControl, Moderator, Pipeline

HASHES = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(8))


class Fingerprinting(Pipeline):
    """A pipeline whose every picture has the same frames; it counts what it examines."""

    is_truncated = False
    examined = 0
    frames: tuple[FrameFingerprint, ...] = (FrameFingerprint(0, 90, HASHES),)

    async def examine(self, body: Body, call: Call) -> Examination:
        self.examined += 1
        seen = await super().examine(body, call)
        return replace(seen, fingerprints=self.frames, is_truncated=self.is_truncated)


class Listing:
    """A moderator with lists in memory."""

    def __init__(self, service: Any) -> None:
        self.store = MemoryListStore()
        self.lists = LiveLists(self.store)
        self.examiner = Fingerprinting(service.preprocessor, service.scorer)
        self.ledger = MemoryLedger(100)
        self.moderator = Moderator(
            service.policy,
            self.examiner,
            self.ledger,
            OnUnscanned.REJECT,
            AdmissionControl(8.0),
            lists=self.lists,
        )
        self._requests = 0

    def add(self, kind: ListKind, fingerprint: Fingerprint, bank: str = "ours") -> int:
        draft = EntryDraft(kind=kind, fingerprint=fingerprint, bank=bank, reason="known to all")
        (entry_id,) = self.store.add([draft]).first_ids
        self.lists.refresh()
        return entry_id

    async def decide(self, content: bytes, within_s: float = 5.0) -> Decision:
        self._requests += 1
        call = Call(f"r-{self._requests}", Deadline.after(within_s))
        return await self.moderator.moderate(Body.of(content), call)


@pytest.fixture
def listing(service: Any) -> Listing:
    return Listing(service)


def _sha256(content: bytes) -> Fingerprint:
    return Fingerprint(FingerprintType.SHA256, hashlib.sha256(content).digest())


PDQ = Fingerprint(FingerprintType.PDQ, HASHES[64:96], 90)


@pytest.mark.parametrize("type_", ["sha256", "md5"])
async def test_denied_bytes_are_not_even_decoded(listing: Listing, draw: Callable[..., bytes], type_: str) -> None:
    content = draw(size=(200, 200)) + b"\0" * 100_000
    digest = hashlib.new(type_, content, usedforsecurity=False).digest()
    entry_id = listing.add(ListKind.DENY, Fingerprint(FingerprintType(type_), digest))
    decision = await listing.decide(content)
    assert decision.outcome == Listed(Verdict.REJECT, "ours", str(entry_id), "known to all", ListMatch.EXACT)
    assert (decision.kept, decision.reason, listing.examiner.examined) == (False, "listed", 0)
    assert decision.lists_version == listing.lists.snapshot.version


class _Busy:
    """Holds up the searches, or the digests, of a moderator until the block ends."""

    def __init__(self, listing: Listing, work: str) -> None:
        self._executor: ThreadPoolExecutor = getattr(listing.moderator._known, work)
        self._is_over = threading.Event()

    def __enter__(self) -> None:
        self._executor.submit(self._is_over.wait)

    def __exit__(self, *_: object) -> None:
        self._is_over.set()


@pytest.mark.parametrize("work", ["_searching", "_digesting"])
async def test_bytes_denied_by_their_sha256_wait_for_no_other_look_up(
    listing: Listing, draw: Callable[..., bytes], work: str
) -> None:
    content = draw() + b"\0" * 100_000
    listing.add(ListKind.DENY, Fingerprint(FingerprintType.MD5, bytes(16)))
    listing.add(ListKind.DENY, _sha256(content))
    with _Busy(listing, work):
        assert isinstance((await listing.decide(content)).outcome, Listed)


async def test_bytes_denied_by_their_md5_wait_for_no_search(listing: Listing, draw: Callable[..., bytes]) -> None:
    content = draw() + b"\0" * 100_000
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    listing.add(ListKind.DENY, Fingerprint(FingerprintType.MD5, digest))
    with _Busy(listing, "_searching"):
        assert isinstance((await listing.decide(content)).outcome, Listed)


@pytest.mark.parametrize("work", ["_searching", "_digesting"])
async def test_what_the_lists_could_not_compare_in_time_is_unscanned(
    listing: Listing, draw: Callable[..., bytes], work: str
) -> None:
    listing.add(ListKind.DENY, Fingerprint(FingerprintType.MD5, bytes(16)))
    listing.add(ListKind.DENY, PDQ)
    with _Busy(listing, work):
        decision = await listing.decide(draw() + b"\0" * 100_000, within_s=0.8)
    assert isinstance(decision.outcome, Unscanned)
    assert (decision.outcome.reason, decision.kept) == (UnscannedReason.DEADLINE, False)


async def test_allowed_bytes_pass_what_the_policy_rejects(listing: Listing, draw: Callable[..., bytes]) -> None:
    red = draw((255, 0, 0))
    assert not (await listing.decide(red)).kept
    listing.add(ListKind.ALLOW, _sha256(red))
    allowed = await listing.decide(red)
    assert allowed.kept
    assert allowed.verdict is Verdict.ACCEPT
    listing.add(ListKind.DENY, _sha256(red))
    assert not (await listing.decide(red)).kept


async def test_a_picture_that_resembles_a_denied_one_is_rejected_also_when_it_is_recalled(
    listing: Listing, draw: Callable[..., bytes]
) -> None:
    content = draw()
    assert isinstance((await listing.decide(content)).outcome, Judged)
    entry_id = listing.add(ListKind.DENY, PDQ)
    recalled = await listing.decide(content)
    new = await listing.decide(draw(size=(17, 17)))
    expected = Listed(
        Verdict.REJECT, "ours", str(entry_id), "known to all", ListMatch.PERCEPTUAL, 0, 0, "image/png", False
    )
    assert recalled.outcome == new.outcome == expected
    assert not recalled.kept
    assert listing.examiner.examined == 2
    assert recalled.examination is not None, "what was seen is recorded beside the entry that decided"


async def test_nothing_allows_a_picture_whose_end_is_missing(listing: Listing, draw: Callable[..., bytes]) -> None:
    listing.add(ListKind.ALLOW, PDQ)
    red = draw((255, 0, 0))
    assert (await listing.decide(red)).kept
    listing.examiner.is_truncated = True
    assert not (await listing.decide(draw((255, 0, 0), size=(17, 17)))).kept


async def test_a_shadow_bank_is_recorded_and_decides_nothing(listing: Listing, draw: Callable[..., bytes]) -> None:
    content = draw()
    exact = listing.add(ListKind.DENY, _sha256(content), "trial")
    near = listing.add(ListKind.DENY, PDQ, "another trial")
    for bank in ("trial", "another trial"):
        listing.store.put_bank(Bank(bank, is_shadow=True))
    listing.lists.refresh()
    decision = await listing.decide(content)
    assert isinstance(decision.outcome, Judged)
    assert decision.kept
    assert [(each.entry, each.verdict) for each in decision.shadow_matches] == [
        (str(exact), Verdict.REJECT),
        (str(near), Verdict.REJECT),
    ]


async def test_an_allowed_picture_that_cannot_be_scanned_is_stored(listing: Listing) -> None:
    assert isinstance((await listing.decide(b"no picture")).outcome, Unscanned)
    listing.add(ListKind.ALLOW, _sha256(b"no picture"))
    assert (await listing.decide(b"no picture")).kept


class _FailingSnapshot(Snapshot):
    def exact(self, sha256: bytes, content: bytes | None, at: datetime) -> Matches:
        raise OSError("a disk is gone")

    def nearest(self, fingerprints: Sequence[FrameFingerprint], at: datetime) -> Matches:
        raise OSError("a disk is gone")


async def test_lists_that_fail_count_as_no_match(
    listing: Listing, draw: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    listing.add(ListKind.DENY, PDQ)
    listing.lists.snapshot.__class__ = _FailingSnapshot
    with caplog.at_level(logging.ERROR):
        decision = await listing.decide(draw())
    assert decision.kept
    assert sum("the lists failed, and count as no match" in each.message for each in caplog.records) == 2


async def test_a_picture_let_through_moments_before_its_entry_is_found_again(
    listing: Listing, draw: Callable[..., bytes]
) -> None:
    first, second = await asyncio.gather(listing.decide(draw()), listing.decide(draw((255, 0, 0))))
    assert (first.kept, second.kept) == (True, False)
    listing.add(ListKind.DENY, PDQ)
    assert [late.picture.request_id for late in listing.lists.take_late_matches()] == [first.request_id]


async def test_the_canary_is_refused_under_any_policy_and_recorded_apart(listing: Listing, service: Any) -> None:
    listing.moderator = Moderator(
        service.policy,
        Pipeline(service.preprocessor, service.scorer),
        listing.ledger,
        OnUnscanned.REJECT,
        AdmissionControl(8.0),
        lists=listing.lists,
    )
    decision = await listing.decide(canary_png())
    assert isinstance(decision.outcome, Listed)
    assert (decision.kept, decision.outcome.bank, decision.outcome.message) == (False, CANARY_BANK, CANARY_REASON)
