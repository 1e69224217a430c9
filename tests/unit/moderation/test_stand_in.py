"""While no scorer is there, other terms look at uploads: they may reject, and what they let through is pending."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from serve_app.domain import (
    RESCAN_SOURCE,
    Body,
    Call,
    Deadline,
    Decision,
    Examination,
    FrameFingerprint,
    Lane,
    OnUnscanned,
    OverloadedError,
    UnavailableError,
    UnscannedReason,
    Verdict,
)
from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.http.answers import answer_for_decision
from serve_app.ledger import MemoryLedger
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.models.fake import FakeEngine
from serve_app.moderation import AdmissionControl, Moderator, Pipeline
from serve_app.moderation.terms import Terms
from serve_app.policy import parse_policy
from tests.stand_ins import InProcessPreprocessor, InProcessScorer
from tests.unit.conftest import POLICY
from tests.unit.fake_classifier import fake_classifier

Draw = Callable[..., bytes]

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)

OWN = parse_policy(POLICY, "colours.yaml")
STAND_IN = parse_policy(
    """\
policy: stand-in
model: small
concepts:
  blue: {score: cosine, prompts: [blue]}
  green: {score: cosine, prompts: [green]}
rules:
  - {name: no-blue, verdict: reject, message: It is blue., when: {concept: blue, above: 0.5}}
  - {name: greenish, verdict: flag, message: It is green., when: {concept: green, above: 0.5}}
""",
    "stand-in.yaml",
)


HASHES = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(8))


class Fingerprinting(Pipeline):
    """A pipeline whose every picture has the same frame."""

    async def examine(self, body: Body, call: Call) -> Examination:
        seen = await super().examine(body, call)
        return replace(seen, fingerprints=(FrameFingerprint(0, 90, HASHES),))


class Front:
    """A moderator whose scorer is away, and terms that stand in for it."""

    def __init__(self, on_unscanned: OnUnscanned = OnUnscanned.REJECT, lists: LiveLists | None = None) -> None:
        self.scorer = InProcessScorer(engine=FakeEngine(OWN.labels), asleep=UnavailableError("no worker is connected"))
        self.small = InProcessScorer(engine=fake_classifier("small", STAND_IN.labels))
        self.ledger = MemoryLedger()
        self.preprocessor = InProcessPreprocessor()
        self._requests = 0
        examiner, local = (Fingerprinting(self.preprocessor, each) for each in (self.scorer, self.small))
        stand_in = Terms(STAND_IN, local, on_unscanned)
        admission = AdmissionControl(8.0)
        self.moderator = Moderator(
            *(OWN, examiner, self.ledger, on_unscanned, admission), lists=lists, stand_in=stand_in
        )

    async def moderate(self, content: bytes, lane: Lane = Lane.LIVE) -> Decision:
        self._requests += 1
        source = "unnamed" if lane is Lane.LIVE else RESCAN_SOURCE
        call = Call(f"r-{self._requests}", Deadline.after(8.0), lane, source)
        return await self.moderator.moderate(Body.of(content), call)

    async def pending(self) -> list[str]:
        return [each.decision.request_id for each in (await self.ledger.pending()).records]


@pytest.fixture
def front() -> Front:
    return Front()


async def test_what_they_let_through_is_stored_and_pending(front: Front, draw: Draw) -> None:
    decision = await front.moderate(draw("white"))
    assert (decision.reason, decision.verdict, decision.kept) == (UnscannedReason.UNAVAILABLE, None, True)
    assert (decision.policy, decision.policy_digest) == ("stand-in", STAND_IN.digest)
    assert decision.model == front.small.engine.identity
    assert decision.examination is None
    assert await front.pending() == ["r-1"]
    status, answer = answer_for_decision(decision, 1.0)
    assert status == 200
    assert answer.message == ("no worker is connected: the fallback stand-in let it through, and it is scanned later")


async def test_a_flag_of_theirs_is_named(front: Front, draw: Draw) -> None:
    _, answer = answer_for_decision(await front.moderate(draw(GREEN)), 1.0)
    assert "the fallback stand-in let it through (flag: greenish)" in answer.message


async def test_what_they_reject_is_rejected_by_their_policy_and_model(front: Front, draw: Draw) -> None:
    decision = await front.moderate(draw(BLUE))
    assert (decision.reason, decision.verdict, decision.kept) == ("policy", Verdict.REJECT, False)
    assert (decision.rule, decision.policy) == ("no-blue", "stand-in")
    assert decision.model.name == "small"
    assert decision.labels == STAND_IN.labels
    assert await front.pending() == []


async def test_once_a_scorer_is_back_its_own_terms_decide_and_the_pending_are_worked_off(
    front: Front, draw: Draw
) -> None:
    await front.moderate(draw(RED))
    front.scorer.asleep = None
    rescanned = await front.moderate(draw(RED), Lane.BACKGROUND)
    assert (rescanned.policy, rescanned.verdict) == ("colours", Verdict.REJECT)
    upload = await front.moderate(draw(GREEN))
    assert (upload.policy, upload.verdict, upload.model.name) == ("colours", Verdict.FLAG, "fake")
    assert front.small.calls == 1


async def test_in_the_background_nobody_stands_in(front: Front, draw: Draw) -> None:
    decision = await front.moderate(draw(BLUE), Lane.BACKGROUND)
    assert decision.reason == UnscannedReason.UNAVAILABLE
    assert (decision.policy, decision.kept) == ("colours", False)
    assert front.small.calls == 0


@pytest.mark.parametrize("on_unscanned", OnUnscanned)
@pytest.mark.parametrize("fault", [UnavailableError("it died"), OverloadedError("much to do")])
async def test_what_they_cannot_scan_follows_on_unscanned(
    on_unscanned: OnUnscanned, fault: Exception, draw: Draw
) -> None:
    front = Front(on_unscanned)
    front.small.fault = fault
    decision = await front.moderate(draw("white"))
    assert decision.verdict is None
    assert decision.kept is (on_unscanned is OnUnscanned.ACCEPT)
    assert (decision.policy, decision.model.name) == ("colours", "fake")
    assert await front.pending() == (["r-1"] if decision.kept else [])


async def test_bytes_that_nobody_can_scan_are_refused(front: Front) -> None:
    decision = await front.moderate(b"no picture at all")
    assert (decision.reason, decision.kept) == (UnscannedReason.UNSUPPORTED, False)


async def test_scorers_that_are_busy_are_there(front: Front, draw: Draw) -> None:
    front.scorer.asleep, front.scorer.fault = None, OverloadedError("much to do")
    decision = await front.moderate(draw("white"))
    assert (decision.reason, decision.policy) == (UnscannedReason.OVERLOADED, "colours")
    assert front.small.calls == 0


async def test_what_its_own_terms_have_rejected_stays_rejected_while_nobody_is_there(front: Front, draw: Draw) -> None:
    front.scorer.asleep = None
    await front.moderate(draw(RED))
    front.scorer.asleep = front.scorer.fault = UnavailableError("no worker is connected")
    await front.moderate(draw("white"))
    again = await front.moderate(draw(RED))
    assert (again.policy, again.verdict, again.model.name) == ("colours", Verdict.REJECT, "fake")
    assert again.examination is not None
    assert again.examination.is_recalled


@pytest.mark.parametrize(("kind", "verdict"), [(ListKind.DENY, Verdict.REJECT), (ListKind.ALLOW, Verdict.ACCEPT)])
async def test_the_lists_decide_about_what_they_see_too(kind: ListKind, verdict: Verdict, draw: Draw) -> None:
    lists = LiveLists(MemoryListStore())
    fingerprint = Fingerprint(FingerprintType.PDQ, HASHES[:32], 90)
    lists.store.add([EntryDraft(kind=kind, fingerprint=fingerprint, bank="ours", reason="known to all")])
    lists.refresh()
    front = Front(lists=lists)
    decision = await front.moderate(draw(BLUE))
    assert (decision.reason, decision.verdict) == ("listed", verdict)
    assert (decision.policy, decision.model.name) == ("stand-in", "small")
    assert await front.pending() == []


async def test_terms_that_suffice_decide_for_good_and_have_a_stand_in_of_their_own(draw: Draw) -> None:
    front = Front()
    admission = AdmissionControl(8.0)
    last = Terms(STAND_IN, Pipeline(front.preprocessor, front.small), OnUnscanned.REJECT)
    middle = InProcessScorer(engine=fake_classifier("small", STAND_IN.labels))
    second = Terms(*(STAND_IN, Pipeline(front.preprocessor, middle), OnUnscanned.REJECT), stand_in=last, suffices=True)
    own = Pipeline(front.preprocessor, front.scorer)
    front.moderator = Moderator(OWN, own, front.ledger, OnUnscanned.REJECT, admission, stand_in=second)
    decision = await front.moderate(draw("white"))
    assert (decision.reason, decision.verdict, decision.policy) == ("policy", Verdict.ACCEPT, "stand-in")
    assert await front.pending() == []
    middle.asleep = middle.fault = UnavailableError("nor is this one")
    decision = await front.moderate(draw(GREEN))
    assert decision.is_pending
    _, answer = answer_for_decision(decision, 1.0)
    assert answer.message.startswith("no worker is connected: the fallback stand-in")


async def test_who_stands_in_is_known(front: Front) -> None:
    assert await front.moderator.standing_in(Deadline.after(8.0)) == (STAND_IN, front.small.engine.identity)
    front.small.asleep = UnavailableError("the service is starting")
    assert await front.moderator.standing_in(Deadline.after(8.0)) is None
