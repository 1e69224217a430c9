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

from serve_app.administration.list_additions import Lister
from serve_app.administration.stored_pictures import StoredPictures
from serve_app.domain import (
    RESCAN_SOURCE,
    UNNAMED_SOURCE,
    Body,
    Call,
    Deadline,
    Decision,
    DecisionFilter,
    Examination,
    FrameFingerprint,
    Judged,
    Lane,
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
from serve_app.lists.digests import Digests
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.lists.of_decisions import ListingTerms
from serve_app.media.canary import canary_png
from serve_app.moderation import AdmissionControl, Moderator, Pipeline
from serve_app.pictrs import API_KEY_ENV, Reference
from serve_app.settings import parse_settings
from tests.contract.pictrs.stand_in import API_KEY, standing_in

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

    async def decide(
        self, content: bytes, within_s: float = 5.0, lane: Lane = Lane.LIVE, source: str = UNNAMED_SOURCE
    ) -> Decision:
        self._requests += 1
        call = Call(f"r-{self._requests}", Deadline.after(within_s), lane, source)
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
    def exact(self, digests: Digests, at: datetime) -> Matches:
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


@pytest.mark.parametrize(("source", "is_late"), [("admin", False), (UNNAMED_SOURCE, False), (RESCAN_SOURCE, True)])
async def test_in_the_background_only_rescans_are_about_pictures_that_were_let_through(
    listing: Listing, draw: Callable[..., bytes], source: str, is_late: bool
) -> None:
    decision = await listing.decide(draw(), lane=Lane.BACKGROUND, source=source)
    assert decision.kept
    listing.add(ListKind.DENY, PDQ)
    assert bool(listing.lists.take_late_matches()) is is_late


async def test_a_ban_leaves_no_decision_that_waits_for_a_scan(listing: Listing, draw: Callable[..., bytes]) -> None:
    async with standing_in() as pictrs:
        settings = parse_settings({"pictrs": {"url": pictrs.url}})
        lister = Lister(listing.ledger, listing.store)
        pictures = StoredPictures(settings, listing.ledger, lister, listing.moderator.moderate, {API_KEY_ENV: API_KEY})
        terms = ListingTerms(kind=ListKind.DENY, bank="banned", reason="spam", author="alice")
        reference = Reference("alias", pictrs.store(draw()))
        assert (await pictures.ban(reference, terms, is_for_real=True)).purged
    listing.lists.refresh()
    assert listing.lists.take_late_matches() == []


@pytest.mark.parametrize(
    ("sources", "source", "terms"),
    [((), None, None), (("lemmy-a",), None, UNNAMED_SOURCE), (("lemmy-a",), "lemmy-a", "lemmy-a")],
)
async def test_a_stored_picture_is_scanned_by_the_terms_of_the_source_whose_pict_rs_has_it(
    listing: Listing, draw: Callable[..., bytes], sources: tuple[str, ...], source: str | None, terms: str | None
) -> None:
    asked: list[str | None] = []

    async def moderate(body: Body, call: Call, by_terms_of: str | None) -> Decision:
        asked.append(by_terms_of)
        return await listing.moderator.moderate(body, call, by_terms_of)

    async with standing_in() as pictrs:
        named = {each: {"secrets_env": each.upper()} for each in sources}
        settings = parse_settings({"pictrs": {"url": pictrs.url, "source": source}, "sources": named})
        lister = Lister(listing.ledger, listing.store)
        pictures = StoredPictures(settings, listing.ledger, lister, moderate, {API_KEY_ENV: API_KEY})
        denied = ListingTerms(kind=ListKind.DENY, bank="banned", reason="spam", author="alice")
        await pictures.add(Reference("alias", pictrs.store(draw())), denied)
    assert asked == [terms]


async def test_a_ban_leaves_the_decisions_on_copies_in_another_pict_rs(
    listing: Listing, draw: Callable[..., bytes]
) -> None:
    decided = await listing.decide(draw())
    unscanned = replace(decided, outcome=Unscanned(UnscannedReason.DEADLINE, "late"), kept=True, examination=None)
    for source in ("lemmy-a", "lemmy-b"):
        await listing.ledger.record(replace(unscanned, request_id=f"r-{source}", source=source))
    async with standing_in() as pictrs:
        named = {each: {"secrets_env": each.upper()} for each in ("lemmy-a", "lemmy-b")}
        settings = parse_settings({"pictrs": {"url": pictrs.url, "source": "lemmy-a"}, "sources": named})
        lister = Lister(listing.ledger, listing.store)
        pictures = StoredPictures(settings, listing.ledger, lister, listing.moderator.moderate, {API_KEY_ENV: API_KEY})
        terms = ListingTerms(kind=ListKind.DENY, bank="banned", reason="spam", author="alice")
        assert (await pictures.ban(Reference("alias", pictrs.store(draw())), terms, is_for_real=True)).purged
    waiting = (await listing.ledger.pending()).records
    assert [each.decision.request_id for each in waiting] == ["r-lemmy-b"]


@pytest.mark.parametrize("size_bytes", [0, 100_000])
async def test_it_is_found_by_its_md5_where_the_lists_had_one_when_it_was_decided(
    listing: Listing, draw: Callable[..., bytes], size_bytes: int
) -> None:
    content = draw() + bytes(size_bytes)
    listing.add(ListKind.DENY, Fingerprint(FingerprintType.MD5, bytes(16)))
    decided = await listing.decide(content)
    assert decided.kept
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    listing.add(ListKind.DENY, Fingerprint(FingerprintType.MD5, digest))
    assert [late.picture.request_id for late in listing.lists.take_late_matches()] == [decided.request_id]


@pytest.mark.parametrize(
    ("colour", "kind", "counted"),
    [
        ((0, 0, 255), ListKind.DENY, True),
        ((255, 0, 0), ListKind.DENY, False),
        ((255, 0, 0), ListKind.ALLOW, True),
        ((0, 0, 255), ListKind.ALLOW, False),
    ],
)
async def test_the_flood_guard_counts_the_pictures_about_which_the_policy_would_decide_otherwise(
    listing: Listing,
    draw: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    colour: tuple[int, int, int],
    kind: ListKind,
    counted: bool,
) -> None:
    entry_id = listing.add(kind, PDQ)
    seen: list[int | None] = []

    def picture(sha256: str, entry: int | None) -> bool:
        seen.append(entry)
        return False

    monkeypatch.setattr(listing.lists._guard, "picture", picture)
    assert isinstance((await listing.decide(draw(colour))).outcome, Listed)
    assert seen == [entry_id if counted else None]


async def test_the_canary_counts_in_no_statistic(
    listing: Listing, service: Any, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where decisions are listed and their scores replayed, nor for the guard, a trial or a rescan."""
    counted: list[str] = []

    def picture(sha256: str, entry: int | None) -> bool:
        counted.append(sha256)
        return False

    monkeypatch.setattr(listing.lists._guard, "picture", picture)
    listing.moderator = Moderator(
        service.policy,
        Pipeline(service.preprocessor, service.scorer),
        listing.ledger,
        OnUnscanned.ACCEPT,
        AdmissionControl(8.0),
        shadow=service.policy,
        lists=listing.lists,
    )
    plain = await listing.decide(draw())
    refused = [await listing.decide(canary_png()) for _ in range(2)]
    assert [each.is_canary for each in (plain, *refused)] == [False, True, True]
    assert counted == [plain.sha256]
    found = await listing.ledger.search(DecisionFilter(), with_examinations=True)
    assert [each.decision.request_id for each in found.records] == [plain.request_id]
    assert refused[1].examination is not None, "it was scanned, and its scores are recorded"
    assert (await listing.ledger.pending()).records == ()
    assert (await listing.ledger.search(DecisionFilter(shadow_differs=True))).records == ()
    listing.add(ListKind.DENY, _sha256(canary_png()))
    assert listing.lists.take_late_matches() == []
    apart = await listing.ledger.search(DecisionFilter(is_canary=True))
    assert {each.decision.request_id for each in apart.records} == {each.request_id for each in refused}


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
