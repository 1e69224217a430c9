"""Whether the models of all sources are warm: each examiner is asked once, and all of them at one time."""

from __future__ import annotations

import asyncio

import pytest

from serve_app.domain import Body, Call, Deadline, Examination, ModelIdentity, OnUnscanned, PolicyError
from serve_app.ledger import MemoryLedger
from serve_app.models.fake import FakeEngine
from serve_app.moderation import AdmissionControl, Moderator
from serve_app.moderation.terms import Terms
from serve_app.policy import parse_policy
from tests.unit.conftest import POLICY

POLICY_OF_ALL = parse_policy(POLICY, "colours.yaml")
FAKE = FakeEngine(POLICY_OF_ALL.labels).identity
OTHER = ModelIdentity("another", "1" * 64, 8)


class Identifying:
    """An examiner that tells its model once ``all_asked`` have been."""

    def __init__(self, all_asked: asyncio.Barrier, told: ModelIdentity = FAKE) -> None:
        self.model = None
        self.asked = 0
        self._all_asked = all_asked
        self._told = told

    async def identify(self, _deadline: Deadline) -> ModelIdentity:
        self.asked += 1
        await self._all_asked.wait()
        return self._told

    async def examine(self, _body: Body, _call: Call) -> Examination:
        raise NotImplementedError


def moderator_of(examiner: Identifying, **of_sources: Identifying) -> Moderator:
    return Moderator(
        *(POLICY_OF_ALL, examiner, MemoryLedger(), OnUnscanned.REJECT, AdmissionControl(8.0)),
        of_sources={name: Terms(POLICY_OF_ALL, each, OnUnscanned.REJECT) for name, each in of_sources.items()},
    )


async def test_an_examiner_that_sources_share_is_asked_once() -> None:
    shared = Identifying(asyncio.Barrier(1))
    moderator = moderator_of(shared, a=shared, b=shared, c=shared)
    assert await moderator.ready(Deadline.after(8.0)) == FAKE
    assert shared.asked == 1


async def test_examiners_do_not_wait_for_each_other() -> None:
    all_asked = asyncio.Barrier(3)
    moderator = moderator_of(Identifying(all_asked), a=Identifying(all_asked), b=Identifying(all_asked))
    async with asyncio.timeout(20):
        assert await moderator.ready(Deadline.after(8.0)) == FAKE


async def test_the_policy_of_each_source_is_checked_against_its_own_model() -> None:
    all_asked = asyncio.Barrier(2)
    moderator = moderator_of(Identifying(all_asked), a=Identifying(all_asked, OTHER))
    with pytest.raises(PolicyError, match="'another'"):
        await moderator.ready(Deadline.after(8.0))
