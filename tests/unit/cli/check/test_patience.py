"""How often and after which waits a picture is sent again: by a clock that only the test reads."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.cli.check.patience import IMPATIENT, Patience


@dataclass
class Answer:
    status: int | None
    retry_after_s: float | None = None

    @property
    def may_be_sent_again(self) -> bool:
        return self.status in (None, 503)


@dataclass
class Stop:
    """Stands in for an event: notes how long it was waited for, and is set at the ``sets_at``-th wait."""

    sets_at: int = 0
    waits_s: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> bool:
        self.waits_s.append(seconds)
        return len(self.waits_s) == self.sets_at


def insisted(patience: Patience, answers: list[Answer], stop: Stop) -> tuple[Answer, int]:
    left = iter(answers)
    sent: list[Answer] = []

    def send() -> Answer:
        sent.append(next(left))
        return sent[-1]

    return patience.insist(send, stop), len(sent)  # type: ignore[arg-type]


def test_the_wait_is_the_one_that_the_service_asked_for_within_the_bound() -> None:
    stop = Stop()
    answers = [Answer(503, 7.0), Answer(503, 3600.0), Answer(200)]
    assert insisted(Patience(longest_wait_s=60), answers, stop) == (answers[2], 3)
    assert stop.waits_s == [7.0, 60]


def test_without_a_word_the_waits_double() -> None:
    stop = Stop()
    insisted(Patience(tries=5), [Answer(503)] * 5, stop)
    assert stop.waits_s == [1, 2, 4, 8]


def test_what_was_answered_is_not_sent_again() -> None:
    stop = Stop()
    assert insisted(Patience(), [Answer(422)], stop) == (Answer(422), 1)
    assert insisted(IMPATIENT, [Answer(503)], stop) == (Answer(503), 1)
    assert stop.waits_s == []


def test_nobody_waits_for_a_service_that_has_never_answered() -> None:
    assert insisted(Patience(), [Answer(None)], Stop()) == (Answer(None), 1)


def test_a_service_that_has_answered_may_be_gone_for_a_while() -> None:
    patience = Patience()
    insisted(patience, [Answer(200)], Stop())
    assert insisted(patience, [Answer(None), Answer(None), Answer(200)], Stop()) == (Answer(200), 3)


def test_an_interrupted_wait_gives_the_answer_that_there_is() -> None:
    assert insisted(Patience(), [Answer(503), Answer(503)], Stop(sets_at=2)) == (Answer(503), 2)


@pytest.mark.parametrize("tries", [1, 2, 5])
@given(st.lists(st.sampled_from([None, 200, 503]), min_size=5, max_size=5))
def test_the_last_answer_is_given_and_the_tries_are_bounded(tries: int, statuses: list[int | None]) -> None:
    answer, sent = insisted(Patience(tries), [Answer(status) for status in statuses], Stop())
    assert sent <= tries
    assert answer.status == statuses[sent - 1]
