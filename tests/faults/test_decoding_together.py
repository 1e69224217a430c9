"""Several small bodies in one message to a decode worker: each keeps its own outcome, its deadline and its death."""

import asyncio
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.domain import (
    Call,
    Deadline,
    DeadlineExceededError,
    Lane,
    LoadSignals,
    TooLargeError,
    UnavailableError,
    UndecodableError,
    UnscannedError,
)
from serve_app.media.worker_messages import GO_ON_BYTES
from serve_app.media.workers import decode_workers, gathering
from serve_app.media.workers.worker_process import WorkerProcess
from tests.unit.logs.json_lines import json_log

PATIENT_S = 30.0
SIZE_PX = 32


async def ask(workers, body, lane=Lane.BACKGROUND, remaining_s=PATIENT_S, source="a"):
    call = Call(f"r-{body}", Deadline.after(remaining_s), lane, source)
    return await workers.preprocess(body.encode(), SIZE_PX, call, LoadSignals())


async def outcomes_of(workers, bodies, lane=Lane.BACKGROUND):
    """What became of bodies that come while the only worker is busy, and so wait together."""
    return await asyncio.gather(*(ask(workers, body, lane) for body in bodies), return_exceptions=True)


def in_short(outcome):
    """What a caller sees of it, whichever worker it was."""
    if isinstance(outcome, UnscannedError):
        return type(outcome).__name__, str(outcome)
    assert not isinstance(outcome, BaseException), outcome
    return outcome.frames_seen, outcome.places, outcome.pixels.tobytes()


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """No worker is lost because the machine is slow."""
    monkeypatch.setattr(decode_workers, "_TOGETHER_S", PATIENT_S)


@pytest.fixture
def messages(monkeypatch):
    """The bodies of each message to a worker."""
    sent = []
    ask_worker = WorkerProcess.ask

    async def remember(worker, bodies, *rest):
        sent.append([each.content.decode() for each in bodies])
        return await ask_worker(worker, bodies, *rest)

    monkeypatch.setattr(WorkerProcess, "ask", remember)
    return sent


async def test_small_bodies_that_wait_go_in_one_message(start, messages):
    workers = start()
    bodies = ["views", "raise UndecodableError", "views 2", "fail", "allocate 4000000000"]
    before = workers.pids()
    outcomes = await outcomes_of(workers, bodies)
    assert [type(each) for each in outcomes if isinstance(each, Exception)] == [
        UndecodableError,
        UnavailableError,
        TooLargeError,
    ]
    assert messages == [bodies]
    assert (workers.pids(), workers.lost) == (before, 0)


async def test_one_that_comes_alone_is_decoded_at_once_and_alone(start, messages):
    workers = start()
    assert (await ask(workers, "views")).frames_seen == 3
    assert messages == [["views"]]


async def test_workers_that_are_idle_share_what_waits(start, messages, fifo):
    """The first of them is busy until the second has been asked."""
    workers = start(2)
    bodies = [f"wait {fifo}", *(f"views {number}" for number in range(7))]
    asked = asyncio.create_task(outcomes_of(workers, bodies))
    while len(messages) < 2:  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)
    assert messages == [bodies[:4], bodies[4:]]
    await asyncio.to_thread(fifo.write_text, "go on")
    assert [each.frames_seen for each in await asked] == [3] * 8


async def test_no_upload_and_no_large_body_goes_with_others(start, messages, monkeypatch):
    workers = start()
    await outcomes_of(workers, ["views", "views 2"], Lane.LIVE)
    monkeypatch.setattr(gathering, "SMALL_BYTES", 6)
    await outcomes_of(workers, ["views 3", "views 4"])
    assert messages == [["views"], ["views 2"], ["views 3"], ["views 4"]]


async def test_sources_have_messages_of_their_own_and_take_turns(start, messages, fifo):
    workers = start()
    busy = asyncio.create_task(ask(workers, f"wait {fifo}", Lane.LIVE))
    await asyncio.sleep(0)
    asked = [asyncio.create_task(ask(workers, f"views {each}", source=each[0])) for each in ("a1", "a2", "b1", "b2")]
    await asyncio.sleep(0)
    await asyncio.to_thread(fifo.write_text, "go on")
    await asyncio.gather(busy, *asked)
    assert messages[1:] == [["views a1", "views a2"], ["views b1", "views b2"]]


async def test_an_upload_comes_before_small_bodies_that_wait(start, messages, fifo):
    workers = start()
    asked = [asyncio.create_task(ask(workers, f"wait {fifo}", Lane.LIVE))]
    await asyncio.sleep(0)
    asked += [asyncio.create_task(ask(workers, f"views {number}", Lane.BACKGROUND)) for number in range(3)]
    await asyncio.sleep(0)
    asked.append(asyncio.create_task(ask(workers, "views of an upload", Lane.LIVE)))
    await asyncio.sleep(0)
    await asyncio.to_thread(fifo.write_text, "go on")
    await asyncio.gather(*asked)
    assert messages[:2] == [[f"wait {fifo}"], ["views of an upload"]]


@pytest.mark.parametrize("way", ["segfault", "exit"])
@pytest.mark.parametrize("at", [0, 2, 4])
async def test_a_body_that_kills_its_worker_is_found_out_and_alone_to_blame(start, way, at):
    workers = start()
    bodies = [f"views {number}" for number in range(5)]
    bodies[at] = way
    with json_log() as lines:
        outcomes = await outcomes_of(workers, bodies)
        told = [(each["event"], each.get("request_id")) for each in lines()]
    assert [isinstance(each, UndecodableError) for each in outcomes] == [body == way for body in bodies]
    assert "these bytes killed" in str(outcomes[at])
    assert workers.lost == 3, "with the others, and twice alone"
    assert told == [("decode_worker_lost_with_several", None), *[("decode_worker_lost", f"r-{way}")] * 2]
    with pytest.raises(UndecodableError):
        await ask(workers, way)
    assert workers.lost == 3, "it is remembered"


async def test_a_body_that_hangs_is_found_out_and_costs_its_neighbours_nothing(start):
    workers = start(max_decode_s=0.3)
    outcomes = await outcomes_of(workers, ["views", "hang", "views 2"])
    assert "took longer than max_decode_s" in str(outcomes[1])
    assert [each.frames_seen for each in (outcomes[0], outcomes[2])] == [3, 3]
    assert workers.lost == 2
    again = await outcomes_of(workers, ["views", "hang", "views 2"])
    assert workers.lost == 3, "bytes that cost a worker are decoded alone"
    assert list(map(in_short, again)) == list(map(in_short, outcomes))


async def test_a_worker_that_stands_still_with_several_is_replaced_soon(start, tmp_path, monkeypatch):
    monkeypatch.setattr(decode_workers, "_TOGETHER_S", 0.1)
    workers = start()
    before = workers.pids()
    os.mkfifo(tmp_path / "never")
    still = asyncio.create_task(ask(workers, f"wait {tmp_path / 'never'}", remaining_s=1.0))
    assert (await ask(workers, "views")).frames_seen == 3
    assert not workers.pids() & before
    with pytest.raises(DeadlineExceededError):
        await still


async def test_each_body_has_its_own_deadline(start, fifo):
    workers = start()
    slow = asyncio.create_task(ask(workers, f"wait {fifo}"))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceededError):
        await ask(workers, "views", remaining_s=0.05)
    with pytest.raises(DeadlineExceededError):
        await ask(workers, "views", remaining_s=0)
    await asyncio.to_thread(fifo.write_text, "go on")
    assert (await slow).frames_seen == 3


async def test_a_body_whose_caller_went_away_is_not_decoded(start, fifo, messages):
    workers = start()
    busy = asyncio.create_task(ask(workers, f"wait {fifo}", Lane.LIVE))
    await asyncio.sleep(0)
    asked = [asyncio.create_task(ask(workers, f"views {number}")) for number in range(3)]
    await asyncio.sleep(0)
    assert workers.predicted_wait_s == 3 * workers.picture_s
    asked[0].cancel()
    await asyncio.to_thread(fifo.write_text, "go on")
    await asyncio.gather(busy, *asked, return_exceptions=True)
    assert messages[1:] == [["views 1", "views 2"]]
    assert workers.predicted_wait_s == 0.0


async def test_a_worker_that_has_much_to_say_leaves_the_rest_for_later(start, messages):
    workers = start()
    bodies = [f"big-answer {GO_ON_BYTES + 100_000 + number}" for number in range(3)]
    outcomes = await outcomes_of(workers, bodies)
    assert [each.pixels.nbytes > GO_ON_BYTES for each in outcomes] == [True] * 3
    assert messages == [bodies, bodies[1:], bodies[2:]]
    assert workers.lost == 0


async def test_a_worker_whose_time_is_over_leaves_the_rest_for_later(start, messages):
    workers = start()
    bodies = ["late", "views 1", "views 2"]
    assert len(await outcomes_of(workers, bodies)) == 3
    assert messages == [bodies, bodies[1:], bodies[2:]]
    assert workers.lost == 0


async def test_closing_answers_who_waits_and_whoever_is_decoded(start, fifo):
    workers = start()
    decoding = asyncio.create_task(outcomes_of(workers, [f"hang {fifo}", "views"]))
    await asyncio.to_thread(fifo.read_text)
    waiting = asyncio.create_task(outcomes_of(workers, ["views 2"]))
    await asyncio.sleep(0)
    workers.close()
    outcomes = await decoding + await waiting
    assert [type(each) for each in outcomes] == [UnavailableError] * 3


BODIES = st.sampled_from(
    ["views", "raise TooLargeError", "raise UndecodableError", "fail", "segfault", "exit", "allocate 4000000000"]
)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(BODIES, min_size=2, max_size=6, unique=True))
def test_every_outcome_is_the_one_that_it_would_be_alone(start, bodies):
    async def together():
        workers = start()
        try:
            return await outcomes_of(workers, bodies)
        finally:
            workers.close()

    async def alone():
        workers = start()
        try:
            return [each for body in bodies for each in await outcomes_of(workers, [body], Lane.LIVE)]
        finally:
            workers.close()

    assert list(map(in_short, asyncio.run(together()))) == list(map(in_short, asyncio.run(alone())))
