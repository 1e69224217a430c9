"""Answers over HTTP: how many, with which status, and after how long."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from serve_app.domain import Lane
from serve_app.metrics import buckets


class AnswerTimes:
    """Counts the answers to those who send pictures."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            "pictwarden_answers",
            "Answers to senders of pictures, by protocol and status.",
            ["route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "pictwarden_answer_seconds",
            "From the arrival of a request whose body was read to its end, to the end of its answer.",
            ["route", "lane"],
            buckets=buckets.SECONDS,
            registry=registry,
        )

    def answered(self, route: str, status: int, lane: Lane, seconds: float | None) -> None:
        """Count an answer.

        Args:
            route: the protocol.
            status: of the answer.
            lane: of the request.
            seconds: since its arrival; None where the body was not read to its end: to be refused takes no time, and
                would hide how long the others wait.
        """
        self._answers.labels(route, str(status)).inc()
        if seconds is not None:
            self._seconds.labels(route, lane.value).observe(seconds)
