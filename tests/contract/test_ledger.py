"""What every ledger does for a picture on its way: record its decision, and recall the same bytes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from serve_app.domain import (
    Decision,
    DecisionFilter,
    Listed,
    ListMatch,
    ModelIdentity,
    Recollection,
    Unscanned,
    UnscannedReason,
    Verdict,
)
from serve_app.domain.limits import MEDIA_VERSION, MediaLimits
from serve_app.domain.workers import Doubt
from serve_app.ledger import MemoryLedger
from tests.contract.conftest import patient_ledger

if TYPE_CHECKING:
    from serve_app.database.location import Location
    from tests.contract.conftest import FullLedger, Made

FLOAT16_STEP = 2.0**-11
"""Between cosines of 0.5 to 1, as they are recorded."""


def require_recalled(recalled: Recollection | None, decision: Decision) -> Recollection:
    """All of the examination of ``decision`` was recalled."""
    assert recalled is not None
    seen, recorded = recalled.examination, decision.examination
    assert recorded is not None
    np.testing.assert_allclose(seen.scores.values, recorded.scores.values, rtol=0, atol=FLOAT16_STEP)
    assert seen.scores.values.dtype == np.float32
    assert (seen.scores.logit_scale, seen.scores.model) == (recorded.scores.logit_scale, recorded.scores.model)
    assert seen.scores.worker == recorded.scores.worker
    assert recalled.labels == decision.labels
    assert seen.places == recorded.places
    assert seen.fingerprints == recorded.fingerprints
    assert (seen.media_type, seen.frames_seen, seen.frames_total) == ("image/gif", 2, 90)
    return recalled


async def test_what_was_seen_is_recalled_whole(ledger: FullLedger, made: Made) -> None:
    decision = made.decision(1, made.judged(Verdict.REJECT))
    await ledger.record(decision)
    recalled = require_recalled(await ledger.recall(made.picture, made.model.digest), decision)
    assert (recalled.judged, recalled.policy_digest) == (decision.outcome, decision.policy_digest)


async def test_what_a_worker_has_scored_is_recalled_with_its_name(ledger: FullLedger, made: Made) -> None:
    for number, worker in enumerate(("anna/desktop", None, "ben/größer")):
        decision = made.decision(number, worker=worker, examination=made.examination(worker=worker))
        await ledger.record(decision)
        require_recalled(await ledger.recall(made.picture, made.model.digest), decision)


async def test_what_a_worker_has_scored_since_a_moment_can_be_forgotten_and_its_decisions_stay(
    ledger: FullLedger, made: Made
) -> None:
    bodies = {f"{number}" * 64: worker for number, worker in enumerate(("anna/desktop", "anna/desktop", "ben/card"))}
    for number, (sha256, worker) in enumerate(bodies.items()):
        seen = made.examination(worker=worker)
        await ledger.record(made.decision(number, sha256=sha256, worker=worker, examination=seen))
    recalled = dataclasses.replace(made.examination(worker="anna/desktop"), is_recalled=True)
    await ledger.record(made.decision(9, sha256="0" * 64, worker="anna/desktop", examination=recalled))
    doubt = Doubt(("anna/desktop",), made.noon + timedelta(seconds=10), made.noon + timedelta(seconds=1), "wrong")

    async def known() -> list[bool]:
        return [await ledger.recall(sha256, made.model.digest) is not None for sha256 in bodies]

    await ledger.forget_scores(dataclasses.replace(doubt, workers=("anna",)))
    await ledger.forget_scores(dataclasses.replace(doubt, since=None))
    assert await known() == [True, True, True]
    await ledger.forget_scores(doubt)
    assert await known() == [True, False, True], "the first was scored before"
    found = await ledger.search(DecisionFilter(worker="anna/desktop"))
    assert [each.decision.request_id for each in found.records] == ["r-9", "r-1", "r-0"]
    await ledger.record(made.decision(10, sha256="1" * 64))
    assert await ledger.recall("1" * 64, made.model.digest) is not None, "it is scored anew"


async def test_an_empty_ledger_recalls_nothing(ledger: FullLedger, made: Made) -> None:
    assert await ledger.recall(made.picture, made.model.digest) is None
    assert ledger.health().problem is None


async def test_bodies_and_models_are_told_apart(ledger: FullLedger, made: Made) -> None:
    await ledger.record(made.decision(1))
    assert await ledger.recall(made.other_picture, made.model.digest) is None
    assert await ledger.recall(made.picture, "b" * 64) is None
    assert await ledger.recall(made.picture, "") is None


async def test_bodies_that_are_asked_about_at_once_are_told_apart(ledger: FullLedger, made: Made) -> None:
    decision = made.decision(1)
    await ledger.record(decision)
    asked = [
        (made.picture, made.model.digest),
        (made.other_picture, made.model.digest),
        (made.picture, "b" * 64),
        (made.picture, made.model.digest),
        *((f"{number:064x}", made.model.digest) for number in range(40)),
    ]
    recalled = await asyncio.gather(*(ledger.recall(*each) for each in asked))
    assert [each is not None for each in recalled] == [True, False, False, True] + [False] * 40
    require_recalled(recalled[0], decision)
    require_recalled(recalled[3], decision)


async def test_models_have_examinations_side_by_side(ledger: FullLedger, made: Made) -> None:
    one = made.decision(1)
    assert one.examination is not None
    model = dataclasses.replace(made.model, digest="b" * 64, name="another", derived_from=None, notice=None)
    scores = dataclasses.replace(one.examination.scores, model=model)
    examination = dataclasses.replace(one.examination, scores=scores)
    other = made.decision(2, made.judged(Verdict.FLAG), model=model, examination=examination)
    for decision in (one, other):
        await ledger.record(decision)
    for decision in (one, other):
        recalled = require_recalled(await ledger.recall(made.picture, decision.model.digest), decision)
        assert recalled.judged == decision.outcome


async def test_models_that_scored_together_are_recalled_each_with_its_digest(ledger: FullLedger, made: Made) -> None:
    other = ModelIdentity("open-nsfw", "e" * 64, 224)
    one = made.decision(1)
    assert one.examination is not None
    model = ModelIdentity.together([made.model, other])
    scores = dataclasses.replace(one.examination.scores, model=model)
    unknown = dataclasses.replace(made.judged().judgement, scores={"nsfw": None}, margin=None)
    together = made.decision(
        2,
        dataclasses.replace(made.judged(), judgement=unknown),
        model=model,
        examination=dataclasses.replace(one.examination, scores=scores),
    )
    for decision in (one, together):
        await ledger.record(decision)
    recalled = require_recalled(await ledger.recall(made.picture, model.digest), together)
    assert recalled.judged == together.outcome
    require_recalled(await ledger.recall(made.picture, made.model.digest), one)


async def test_the_latest_judgement_is_recalled_with_its_policy(ledger: FullLedger, made: Made) -> None:
    for number, verdict in enumerate((Verdict.ACCEPT, Verdict.REJECT, Verdict.FLAG)):
        await ledger.record(made.decision(number, made.judged(verdict), policy_digest=str(number) * 64))
    recalled = await ledger.recall(made.picture, made.model.digest)
    assert recalled is not None
    assert (recalled.judged, recalled.policy_digest) == (made.judged(Verdict.FLAG), "2" * 64)


async def test_the_latest_examination_is_recalled(ledger: FullLedger, made: Made) -> None:
    await ledger.record(made.decision(1))
    labels = (*made.labels, "a new prompt")
    newer = made.decision(2, examination=made.examination(labels=4), labels=labels, policy_digest="d" * 64)
    await ledger.record(newer)
    require_recalled(await ledger.recall(made.picture, made.model.digest), newer)


@pytest.mark.parametrize("reason", UnscannedReason)
async def test_what_was_not_scanned_is_not_recalled_and_hides_nothing(
    ledger: FullLedger, made: Made, reason: UnscannedReason
) -> None:
    await ledger.record(made.decision(1, Unscanned(reason, "why"), sha256=made.other_picture))
    assert await ledger.recall(made.other_picture, made.model.digest) is None
    scanned = made.decision(2)
    await ledger.record(scanned)
    await ledger.record(made.decision(3, Unscanned(reason, "why")))
    assert require_recalled(await ledger.recall(made.picture, made.model.digest), scanned).judged == scanned.outcome


async def test_a_file_of_which_only_the_first_part_was_seen_is_not_recalled(ledger: FullLedger, made: Made) -> None:
    await ledger.record(made.decision(1, made.judged(is_truncated=True)))
    assert await ledger.recall(made.picture, made.model.digest) is None


async def test_a_picture_that_a_list_decided_is_recalled_without_a_judgement(ledger: FullLedger, made: Made) -> None:
    near = Listed(
        Verdict.REJECT, "bank", "7", "known", ListMatch.PERCEPTUAL, distance_bits=12, frame=3, media_type="image/gif"
    )
    listed = made.decision(1, near, examination=made.examination(), labels=made.labels, kept=False)
    await ledger.record(listed)
    recorded = await ledger.get(listed.request_id)
    assert recorded is not None
    assert recorded.decision.outcome == near
    recalled = require_recalled(await ledger.recall(made.picture, made.model.digest), listed)
    assert (recalled.judged, recalled.policy_digest) == (None, None)


async def test_a_list_does_not_hide_an_earlier_judgement(ledger: FullLedger, made: Made) -> None:
    await ledger.record(made.decision(1))
    near = Listed(Verdict.REJECT, "bank", "7", "known", ListMatch.PERCEPTUAL, distance_bits=12, frame=3)
    await ledger.record(made.decision(2, near, examination=made.examination(), labels=made.labels, kept=False))
    recalled = await ledger.recall(made.picture, made.model.digest)
    assert recalled is not None
    assert (recalled.judged, recalled.policy_digest) == (made.judged(), "c" * 64)


async def test_an_exact_match_was_not_examined(ledger: FullLedger, made: Made) -> None:
    await ledger.record(made.decision(1, Listed(Verdict.REJECT, "bank", "7", "known"), kept=False))
    assert await ledger.recall(made.picture, made.model.digest) is None


async def test_a_picture_without_fingerprints_is_recalled_without(ledger: FullLedger, made: Made) -> None:
    bare = made.decision(1, examination=dataclasses.replace(made.examination(), fingerprints=()))
    await ledger.record(bare)
    require_recalled(await ledger.recall(made.picture, made.model.digest), bare)


async def test_a_recalled_examination_is_not_recorded_again(ledger: FullLedger, made: Made) -> None:
    if isinstance(ledger, MemoryLedger):
        pytest.skip("its examinations have no retention")
    await ledger.record(made.decision(1))
    recalled = dataclasses.replace(made.examination(), is_recalled=True)
    month = 30 * 86_400
    await ledger.record(made.decision(month, examination=recalled))
    assert await ledger.recall(made.picture, made.model.digest) is not None
    erased = await ledger.prune(made.noon + timedelta(days=30, seconds=2))
    assert (erased.decisions, erased.label_scores, erased.fingerprints) == (1, 1, 0), "its retention was not renewed"
    assert await ledger.recall(made.picture, made.model.digest) is None


@pytest.mark.parametrize("change", ["more frames", "more views", "another decoder"])
async def test_what_was_seen_in_another_way_is_not_recalled(
    location: Location, made: Made, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    limits = MediaLimits()
    decision = made.decision(1)
    with contextlib.closing(patient_ledger(location, limits)) as ledger:
        await ledger.record(decision)
    same = dataclasses.replace(limits, max_decode_s=limits.max_decode_s / 2)
    with contextlib.closing(patient_ledger(location, same)) as ledger:
        require_recalled(await ledger.recall(made.picture, made.model.digest), decision)
    if change == "another decoder":
        monkeypatch.setattr("serve_app.domain.limits.MEDIA_VERSION", MEDIA_VERSION + 1)
    elif change == "more frames":
        limits = dataclasses.replace(limits, max_frames=limits.max_frames + 1)
    else:
        limits = dataclasses.replace(limits, max_views=limits.max_views + 1)
    with contextlib.closing(patient_ledger(location, limits)) as ledger:
        assert await ledger.recall(made.picture, made.model.digest) is None
        found = await ledger.get(decision.request_id)
        assert found is not None
        assert found.decision.examination is not None, "what was recorded can still be read"
        anew = made.decision(2)
        await ledger.record(anew)
        assert require_recalled(await ledger.recall(made.picture, made.model.digest), anew).judged == anew.outcome
