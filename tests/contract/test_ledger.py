"""What every ledger does for a picture on its way: record its decision, and recall the same bytes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from serve_app.domain import Decision, Listed, ListMatch, Recollection, Unscanned, UnscannedReason, Verdict

if TYPE_CHECKING:
    from tests.contract.conftest import FullLedger, Made

FLOAT16_STEP = 2.0**-11
"""Between cosines of 0.5 to 1, as they are recorded."""


def require_recalled(recalled: Recollection | None, decision: Decision) -> Recollection:
    """All of the examination of ``decision`` was recalled."""
    assert recalled is not None
    seen, recorded = recalled.examination, decision.examination
    assert recorded is not None
    np.testing.assert_allclose(seen.scores.cosines, recorded.scores.cosines, rtol=0, atol=FLOAT16_STEP)
    assert seen.scores.cosines.dtype == np.float32
    assert (seen.scores.logit_scale, seen.scores.model) == (recorded.scores.logit_scale, recorded.scores.model)
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


async def test_an_empty_ledger_recalls_nothing(ledger: FullLedger, made: Made) -> None:
    assert await ledger.recall(made.picture, made.model.digest) is None
    assert ledger.health().problem is None


async def test_bodies_and_models_are_told_apart(ledger: FullLedger, made: Made) -> None:
    await ledger.record(made.decision(1))
    assert await ledger.recall(made.other_picture, made.model.digest) is None
    assert await ledger.recall(made.picture, "b" * 64) is None
    assert await ledger.recall(made.picture, "") is None


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
    near = Listed(Verdict.REJECT, "bank", "7", "known", ListMatch.PERCEPTUAL, distance_bits=12, frame=3)
    listed = made.decision(1, near, examination=made.examination(), labels=made.labels, kept=False)
    await ledger.record(listed)
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
