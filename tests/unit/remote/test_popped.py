"""Pictures for the workers of fedi-safety: each is handed out, handed out again once, and answered for once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    DeadlineExceededError,
    OverloadedError,
    UnavailableError,
    UnscannableError,
    Verdict,
)
from serve_app.media import MediaLimits
from serve_app.policy import evaluate
from serve_app.remote.fedi_safety import MODEL, PoppedExaminer, fedi_safety_policy
from serve_app.remote.popped import AGAIN_AFTER_S, REST_S, THERE_FOR_S, Job, PoppedAnswer, PoppedJobs
from tests.stand_ins import InProcessPreprocessor

CLEAN = PoppedAnswer(is_csam=False, is_nsfw=False, worker="alice/fedi-safety")
BAD = PoppedAnswer(is_csam=True, is_nsfw=True, worker="bob/fedi-safety")


ALICE, BOB, CAROL, DAVE = (f"{owner}/fedi-safety" for owner in ("alice", "bob", "carol", "dave"))


class Popping:
    """Jobs, whose clock is the test's, and a worker that has just asked."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.jobs = PoppedJobs(self.clock)
        self.jobs.pop(ALICE)

    async def begin(self, content: bytes = b"a picture", media_type: str = "image/png") -> asyncio.Task[PoppedAnswer]:
        submitting = asyncio.create_task(self.jobs.submit(content, media_type, Deadline.after(8.0, self.clock)))
        await asyncio.sleep(0)
        return submitting

    def clock(self) -> float:
        return self.now_s

    def is_anybody_there(self) -> bool:
        return self.jobs.is_anybody_there

    def popped(self, worker: str = ALICE) -> Job:
        job = self.jobs.pop(worker)
        assert job is not None
        return job


@pytest.fixture
def popping() -> Popping:
    return Popping()


async def test_a_picture_is_handed_out_once_and_answered_for(popping: Popping) -> None:
    submitting = await popping.begin(b"its bytes", "image/jpeg")
    job = popping.popped()
    assert (job.content, job.media_type) == (b"its bytes", "image/jpeg")
    assert re.fullmatch(r"[0-9a-f]{32}\.jpg", job.name)
    assert popping.jobs.pop(ALICE) is None
    assert popping.jobs.answered(job.name, BAD)
    assert await submitting == BAD
    assert not popping.jobs.answered(job.name, CLEAN), "the first answer counts"
    assert popping.jobs.pop(ALICE) is None


async def test_no_name_tells_of_another(popping: Popping) -> None:
    tasks = [await popping.begin() for _ in range(50)]
    names = {popping.popped().name for _ in tasks}
    assert len(names) == 50
    for name in names:
        popping.jobs.answered(name, CLEAN)
    await asyncio.gather(*tasks)


async def test_it_goes_to_another_worker_once_if_no_answer_comes(popping: Popping) -> None:
    first, second = await popping.begin(b"first"), await popping.begin(b"second")
    lost = popping.popped()
    popping.now_s += AGAIN_AFTER_S
    assert popping.popped(BOB).content == b"second", "what nobody has had yet comes first"
    again = popping.popped(BOB)
    assert again.name == lost.name
    popping.now_s += AGAIN_AFTER_S
    assert popping.popped(CAROL).content == b"second"
    popping.now_s += AGAIN_AFTER_S
    assert popping.jobs.pop(DAVE) is None
    for each in (first, second):
        each.cancel()
    await asyncio.gather(first, second, return_exceptions=True)


async def test_what_was_handed_out_twice_has_the_first_answer(popping: Popping) -> None:
    submitting = await popping.begin()
    name = popping.popped().name
    popping.now_s += AGAIN_AFTER_S
    popping.popped(BOB)
    assert popping.jobs.answered(name, CLEAN)
    assert not popping.jobs.answered(name, BAD)
    assert await submitting == CLEAN


async def test_nobody_answers_for_what_was_never_handed_out(popping: Popping) -> None:
    submitting = await popping.begin()
    assert not popping.jobs.answered("0" * 32 + ".png", CLEAN)
    name = next(iter(popping.jobs._jobs))
    assert not popping.jobs.answered(name, CLEAN)
    popping.jobs.answered(popping.popped().name, BAD)
    assert await submitting == BAD


async def test_a_caller_that_leaves_takes_its_picture_with_it(popping: Popping) -> None:
    submitting = await popping.begin()
    name = popping.popped().name
    submitting.cancel()
    await asyncio.gather(submitting, return_exceptions=True)
    assert not popping.jobs.answered(name, CLEAN)


async def test_without_an_answer_in_time_it_is_unscanned(popping: Popping) -> None:
    with pytest.raises(DeadlineExceededError, match="no worker of fedi-safety has answered in time"):
        await popping.jobs.submit(b"a picture", "image/png", Deadline.after(0.01, popping.clock))
    assert popping.jobs.pop(ALICE) is None


async def test_a_worker_is_there_for_some_seconds_after_it_has_asked(popping: Popping) -> None:
    popping.now_s += THERE_FOR_S - 0.1
    popping.jobs.require_anybody()
    popping.now_s += 0.1
    with pytest.raises(UnavailableError, match="no worker of fedi-safety is there"):
        await popping.jobs.submit(b"a picture", "image/png", Deadline.after(8.0))


async def test_one_that_asks_and_never_answers_is_not_there_for_a_while(popping: Popping) -> None:
    submitting = await popping.begin()
    name = popping.popped().name
    popping.now_s += AGAIN_AFTER_S
    assert popping.jobs.pop(ALICE) is None
    assert not popping.is_anybody_there()
    assert popping.popped(BOB).name == name, "it is for another one"
    assert popping.is_anybody_there()
    popping.jobs.answered(name, BAD)
    assert await submitting == BAD
    popping.now_s += THERE_FOR_S
    popping.jobs.pop(ALICE)
    assert not popping.is_anybody_there(), "it is still away"
    popping.now_s += REST_S
    popping.jobs.pop(ALICE)
    assert popping.is_anybody_there(), "it is tried again"
    submitting = await popping.begin()
    popping.popped()
    popping.now_s += AGAIN_AFTER_S
    popping.jobs.pop(ALICE)
    assert not popping.is_anybody_there()
    submitting.cancel()
    await asyncio.gather(submitting, return_exceptions=True)


async def test_one_that_answers_late_is_there_again(popping: Popping) -> None:
    submitting = await popping.begin()
    name = popping.popped().name
    popping.now_s += AGAIN_AFTER_S
    popping.jobs.pop(ALICE)
    assert not popping.is_anybody_there()
    assert popping.jobs.answered(name, CLEAN)
    assert popping.is_anybody_there()
    assert await submitting == CLEAN


@pytest.mark.parametrize("media_type", ["video/mp4", "image/avif", "image/jxl"])
async def test_what_they_may_not_open_is_not_given_to_them(popping: Popping, media_type: str) -> None:
    with pytest.raises(UnavailableError, match=f"do not look at {media_type}"):
        await popping.jobs.submit(b"a picture", media_type, Deadline.after(8.0))


async def test_only_so_many_wait(popping: Popping) -> None:
    tasks = [await popping.begin() for _ in range(100)]
    with pytest.raises(OverloadedError, match="100 pictures wait"):
        await popping.jobs.submit(b"a picture", "image/png", Deadline.after(8.0))
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class AnsweredJobs(PoppedJobs):
    """For which a worker asks, and answers at once."""

    answer = CLEAN

    async def submit(self, content: bytes, media_type: str, deadline: Deadline) -> PoppedAnswer:
        submitting = asyncio.create_task(super().submit(content, media_type, deadline))
        await asyncio.sleep(0)
        job = self.pop(ALICE)
        assert job is not None
        assert self.answered(job.name, self.answer)
        return await submitting


@pytest.fixture
def jobs() -> AnsweredJobs:
    return AnsweredJobs(lambda: 100.0)


@pytest.fixture
def examiner(jobs: AnsweredJobs) -> PoppedExaminer:
    jobs.pop(ALICE)
    made = PoppedExaminer(jobs)
    made.started(InProcessPreprocessor(limits=MediaLimits(max_pixels=1_000_000)))
    return made


@pytest.mark.parametrize(
    ("answer", "verdict", "rule"),
    [
        (CLEAN, Verdict.ACCEPT, None),
        (BAD, Verdict.REJECT, "fedi-safety-csam"),
        (PoppedAnswer(is_csam=False, is_nsfw=True, worker="w"), Verdict.FLAG, "fedi-safety-nsfw"),
    ],
)
async def test_what_a_worker_says_is_judged_and_names_it(
    jobs: AnsweredJobs,
    examiner: PoppedExaminer,
    draw: Callable[..., bytes],
    answer: PoppedAnswer,
    verdict: Verdict,
    rule: str | None,
) -> None:
    call = Call("r-1", Deadline.after(8.0))
    jobs.answer = answer
    seen = await examiner.examine(Body.of(draw("white", (300, 60))), call)
    policy = fedi_safety_policy()
    policy.require_model(MODEL)
    judgement = evaluate(policy, seen.scores)
    assert (judgement.verdict, judgement.rule) == (verdict, rule)
    assert (seen.scores.model, seen.scores.worker) == (MODEL, answer.worker)
    assert seen.scores.values.shape == (len(seen.places), 2)


async def test_bytes_that_cannot_be_decoded_are_given_to_nobody(popping: Popping, draw: Callable[..., bytes]) -> None:
    examiner = PoppedExaminer(popping.jobs)
    examiner.started(InProcessPreprocessor())
    with pytest.raises(UnscannableError):
        await examiner.examine(Body.of(draw("white", (64, 64))[:60]), Call("r-1", Deadline.after(8.0)))
    assert popping.jobs.pop(ALICE) is None


async def test_it_has_a_model_while_a_worker_is_there(popping: Popping) -> None:
    examiner = PoppedExaminer(popping.jobs)
    assert await examiner.identify(Deadline.after(8.0)) == MODEL
    with pytest.raises(UnavailableError, match="the service is starting"):
        await examiner.examine(Body.of(b"a picture"), Call("r-1", Deadline.after(8.0)))
    popping.now_s += THERE_FOR_S
    with pytest.raises(UnavailableError, match="no worker of fedi-safety is there"):
        await examiner.identify(Deadline.after(8.0))
