"""Accepted pictures that a policy rejects by their recorded scores are found in each database, and nobody else is."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from serve_app.database.location import Location
from serve_app.domain import (
    ADMIN_SOURCE,
    RESCAN_SOURCE,
    Decision,
    DecisionFilter,
    Lane,
    ModelIdentity,
    Unscanned,
    UnscannedReason,
    Verdict,
    ViewPlace,
)
from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.ledger import score_scan
from serve_app.ledger.sql import SqlLedger
from serve_app.lists.live import LiveLists
from serve_app.lists.opening import open_list_store
from serve_app.policy import Policies, Policy, parse_policy
from serve_app.settings import parse_settings
from serve_app.storage import Catcher, Hunter, Pace, PolicyHunt, Suspect
from tests.contract.conftest import NOON, Made, patient_ledger

LABELS = ("a red view", "größer", "a green view")
PLACES = (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)), ViewPlace(3, (0.0, 0.25, 0.5, 1.0)))


def policy(above: float = 0.5, prompt: str = "a red view", model: str = "demo", name: str = "strict") -> Policy:
    return parse_policy(
        f"""\
policy: {name}
model: {model}
concepts:
  red: {{score: cosine, prompts: [{prompt}]}}
rules:
  - {{name: red, verdict: reject, when: {{concept: red, above: {above}}}, message: No red.}}
  - {{name: reddish, verdict: flag, when: {{concept: red, above: 0.25}}}}
""",
        "a.yaml",
    )


class Bench:
    """A ledger and lists in one database."""

    def __init__(self, ledger: SqlLedger, lists: LiveLists, made: Made) -> None:
        self.ledger = ledger
        self.lists = lists
        self.settings = parse_settings({})
        self._made = made

    async def record(
        self, number: int, *reds: float, picture: int | None = None, model: ModelIdentity | None = None, **changed: Any
    ) -> Decision:
        """A decision on a picture of its own; ``reds`` are the cosines of its views with the first label."""
        picture = number if picture is None else picture
        decision = self._made.decision(number, sha256=f"{picture:064x}")
        assert decision.examination is not None
        scores = decision.examination.scores
        values = np.array([[red, -0.5, 0.75] for red in reds], dtype=np.float32)
        seen = replace(
            decision.examination,
            scores=replace(scores, values=values, model=model or scores.model),
            places=PLACES[: len(reds)],
        )
        recorded = replace(decision, **{"examination": seen, "model": model or decision.model, **changed})
        await self.ledger.record(recorded)
        return recorded

    def allow(self, number: int) -> None:
        self._allow(Fingerprint(FingerprintType.SHA256, bytes.fromhex(f"{number:064x}")))

    def allow_like(self, digest: bytes) -> None:
        self._allow(Fingerprint(FingerprintType.PDQ, digest))

    def _allow(self, fingerprint: Fingerprint) -> None:
        self.lists.store.add(
            [EntryDraft(kind=ListKind.ALLOW, fingerprint=fingerprint, bank="allowed", reason="a tent")]
        )
        self.lists.refresh()

    def hunt(self, of_service: Policy, **of_sources: Policy) -> PolicyHunt:
        catcher = Catcher(self.settings, self.ledger, "nobody", lambda: NOON, is_purging=False)
        bodies = self.ledger.bodies
        hunter = Hunter(self.settings, self.ledger, bodies, lambda: self.lists.snapshot, catcher, lambda: NOON)
        return hunter.policy_hunt(Policies(of_service, of_sources))


async def found(hunt: PolicyHunt) -> list[Suspect]:
    return [each async for each in hunt.suspects(Pace())]


async def names(hunt: PolicyHunt) -> list[str]:
    return sorted(each.recorded.decision.request_id for each in await found(hunt))


@pytest.fixture
async def bench(location: Location, made: Made) -> AsyncIterator[Bench]:
    lists = LiveLists(open_list_store(location))
    with contextlib.closing(patient_ledger(location)) as ledger, contextlib.closing(lists):
        yield Bench(ledger, lists, made)


async def test_what_the_policy_rejects_now_is_found_with_its_rule(bench: Bench) -> None:
    await bench.record(1, 0.75, 0.0)
    await bench.record(2, 0.0, 0.75)
    await bench.record(3, 0.375, 0.375)
    await bench.record(4, 0.875)
    hunt = bench.hunt(policy())
    assert await hunt.count() == 4
    suspects = {each.recorded.decision.request_id: each.why for each in await found(hunt)}
    assert suspects == {
        "r-1": "rule red (margin +0.250): No red.",
        "r-2": "rule red (margin +0.250): No red.",
        "r-4": "rule red (margin +0.375): No red.",
    }
    assert hunt.unjudged.told == ""


async def test_bodies_come_in_parts_of_one_shape_however_large_they_are(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_scan, "BODIES_AT_ONCE", 5)
    monkeypatch.setattr(score_scan, "MOST_VALUES", 9)
    for number in range(12):
        views = 1 + number % 2
        await bench.record(number, *[number / 16] * views)
    keys = bench.ledger.bodies.contexts().keys()
    parts = list(bench.ledger.bodies.all_scores(keys))
    assert sum(len(part.sha256) for part in parts) == 12
    assert all(part.scores.values.size <= 9 for part in parts)
    seen = {
        part.sha256[body].tobytes().hex(): part.scores.values[first, 0]
        for part in parts
        for body, first in enumerate(part.firsts)
    }
    assert seen == {f"{number:064x}": number / 16 for number in range(12)}
    assert await names(bench.hunt(policy())) == sorted(f"r-{number}" for number in range(9, 12))


async def test_what_was_not_accepted_is_not_found(bench: Bench, made: Made) -> None:
    await bench.record(1, 0.75, kept=False, outcome=made.judged(Verdict.REJECT))
    await bench.record(2, 0.75, kept=True, outcome=Unscanned(UnscannedReason.OVERLOADED, "full"), examination=None)
    assert await names(bench.hunt(policy())) == []


async def test_a_decision_of_the_background_lane_is_told_where_there_is_no_other(bench: Bench) -> None:
    await bench.record(1, 0.75, lane=Lane.BACKGROUND)
    await bench.record(2, 0.75, lane=Lane.BACKGROUND, source=RESCAN_SOURCE)
    await bench.record(3, 0.75)
    await bench.record(4, 0.75, picture=3, lane=Lane.BACKGROUND)
    assert await names(bench.hunt(policy())) == ["r-1", "r-2", "r-3"]


async def test_what_was_accepted_before_it_was_refused_is_found(bench: Bench) -> None:
    await bench.record(1, 0.75)
    await bench.record(2, 0.75, picture=1, kept=False)
    assert await names(bench.hunt(policy())) == ["r-1"]


async def test_an_entry_that_allows_a_picture_protects_it(bench: Bench) -> None:
    await bench.record(1, 0.75)
    await bench.record(2, 0.75)
    bench.allow(1)
    assert await names(bench.hunt(policy())) == ["r-2"]


async def test_an_entry_for_alike_pictures_protects_what_was_kept_unscanned_and_accepted_by_it_since(
    bench: Bench,
) -> None:
    unscanned = Unscanned(UnscannedReason.OVERLOADED, "full")
    await bench.record(1, 0.75, kept=True, outcome=unscanned, examination=None, labels=())
    await bench.record(2, 0.75, picture=1, source=RESCAN_SOURCE, lane=Lane.BACKGROUND, kept=False)
    assert await names(bench.hunt(policy())) == ["r-1"]
    page = await bench.ledger.search(DecisionFilter(), with_examinations=True)
    (digest,) = {frame.hashes[:32] for each in page.records for frame in each.fingerprints if frame.quality >= 50}
    bench.allow_like(digest)
    assert await names(bench.hunt(policy())) == []


async def test_each_source_has_its_own_policy(bench: Bench) -> None:
    bench.settings = parse_settings(
        {"sources": {"mild": {"secrets_env": "A"}, "other": {"secrets_env": "B"}}, "pictrs": {"source": "mild"}}
    )
    await bench.record(1, 0.75, source="mild")
    await bench.record(2, 0.75, source="other")
    await bench.record(3, 0.75, source=RESCAN_SOURCE, lane=Lane.BACKGROUND)
    await bench.record(4, 0.9375, source="mild")
    await bench.record(5, 0.75, source=ADMIN_SOURCE, lane=Lane.BACKGROUND)
    hunt = bench.hunt(policy(), mild=policy(0.875, name="mild"))
    assert await names(hunt) == ["r-2", "r-4"]


async def test_of_bytes_of_two_sources_the_picture_that_pict_rs_may_have_is_told(bench: Bench) -> None:
    sources = {"own": {"secrets_env": "A"}, "other": {"secrets_env": "B"}}
    bench.settings = parse_settings({"sources": sources, "pictrs": {"source": "own"}})
    await bench.record(1, 0.75, source="own")
    await bench.record(2, 0.75, picture=1, source="other")
    assert await names(bench.hunt(policy())) == ["r-1"]


async def test_scores_that_cannot_be_judged_are_counted(bench: Bench) -> None:
    other = ModelIdentity("another", "f" * 64, 224)
    await bench.record(1, 0.75)
    await bench.record(2, 0.75, model=other)
    await bench.record(3, 0.75, picture=2, model=other)
    await bench.record(4, 0.75, labels=("a blue view", "größer", "a green view"))
    await bench.record(5, 0.75, examination=None)
    await bench.record(6, 0.75, examination=None, kept=False)
    hunt = bench.hunt(policy())
    assert await names(hunt) == ["r-1"]
    assert (hunt.unjudged.forgotten, hunt.unjudged.other_model, hunt.unjudged.missing_labels) == (1, 1, 1)
    assert hunt.unjudged.told == (
        "1: their scores are not recorded any more; 1: another model scored them; "
        "1: a label of the policy was never scored"
    )


async def test_each_policy_counts_the_pictures_of_its_sources(bench: Bench) -> None:
    await bench.record(1, 0.75, source="one", examination=None)
    await bench.record(2, 0.75, examination=None)
    await bench.record(3, 0.75, source="one")
    hunt = bench.hunt(policy(), one=policy(prompt="a purple view", name="one"))
    assert await names(hunt) == []
    assert (hunt.unjudged.forgotten, hunt.unjudged.missing_labels) == (2, 1)


async def test_later_scores_of_another_model_are_judged_for_an_earlier_decision(bench: Bench) -> None:
    await bench.record(1, 0.75, model=ModelIdentity("another", "f" * 64, 224))
    await bench.record(2, 0.75, picture=1, kept=False)
    assert await names(bench.hunt(policy())) == ["r-1"]


@pytest.mark.parametrize(("above", "is_found"), [(0.7, True), (0.74999, False), (0.75, False), (0.75001, False)])
async def test_what_the_rounding_may_decide_is_left_and_counted(bench: Bench, above: float, is_found: bool) -> None:
    await bench.record(1, 0.75)
    hunt = bench.hunt(policy(above))
    assert (await names(hunt), hunt.unjudged.uncertain) == ((["r-1"], 0) if is_found else ([], 1))


async def test_an_uncertain_decision_hides_no_certain_one_on_the_same_bytes(bench: Bench) -> None:
    sources = {"one": {"secrets_env": "A"}, "other": {"secrets_env": "B"}}
    bench.settings = parse_settings({"sources": sources})
    await bench.record(1, 0.75, source="one")
    await bench.record(2, 0.75, picture=1, source="other")
    hunt = bench.hunt(policy(), other=policy(0.75, name="other"))
    assert (await names(hunt), hunt.unjudged.uncertain) == (["r-1"], 0)


async def test_a_flag_near_its_line_makes_no_rejection_uncertain(bench: Bench) -> None:
    await bench.record(1, 0.75, 0.25)
    assert await names(bench.hunt(policy())) == ["r-1"]


async def test_a_ledger_without_scores_has_nothing_to_be_found(bench: Bench) -> None:
    hunt = bench.hunt(policy())
    assert (await hunt.count(), await names(hunt), hunt.unjudged.told) == (0, [], "")
