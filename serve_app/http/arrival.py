"""A request when it arrives: its id, its deadline, and the values of its headers."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from serve_app.domain import UNNAMED_SOURCE, Call, Deadline, Lane, MalformedRequestError
from serve_app.tracing import NOT_TRACED, RequestSpan
from serve_app.wire import LANE_HEADER, REFUSED_HEADER

UNANSWERED = 499
"""The status of a request that got no answer. Nobody reads it; nginx logs the same number."""

# More than a front end refuses in the part of a second for which it asks nobody.
_MOST_REFUSED = 100_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """The moment at which a request arrived, its id in answers, decisions and logs, and its span in a trace."""

    request_id: str
    deadline: Deadline
    started_s: float
    span: RequestSpan = NOT_TRACED

    @classmethod
    def now(cls, deadline_s: float, span: RequestSpan = NOT_TRACED) -> Arrival:
        """A request that arrives now."""
        # Never the client's X-Request-ID: two requests with one id would share an entry in the ledger.
        return cls(uuid.uuid4().hex, Deadline.after(deadline_s), time.monotonic(), span)

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since it arrived."""
        return (time.monotonic() - self.started_s) * 1e3

    def call(self, headers: Mapping[str, str], source: str = UNNAMED_SOURCE, share: float = 1.0) -> Call:
        """The call that this request of ``source``, whose turns have the weight ``share``, makes.

        Raises:
            MalformedRequestError: it names an unknown lane.
        """
        told = headers.get(LANE_HEADER)
        try:
            lane = Lane(told.strip().lower()) if told else Lane.LIVE
        except ValueError:
            raise MalformedRequestError(f"unknown lane in {LANE_HEADER}; it must be {' or '.join(Lane)}") from None
        return Call(self.request_id, self.deadline, lane, source, share, self.span.traceparent)

    @contextlib.contextmanager
    def traced(self, source: str = UNNAMED_SOURCE) -> Iterator[None]:
        """The span ends with the block if that raises: by a fault that nobody foresaw, or since it is cancelled."""
        try:
            yield
        except asyncio.CancelledError:
            self.answered(UNANSWERED, "cancelled", source)
            raise
        except Exception:
            self.answered(500, "internal", source)
            raise

    def answered(self, status: int, outcome: str, source: str = UNNAMED_SOURCE) -> None:
        """End the span of a request with a right secret: others are not traced, since anybody can send them."""
        self.span.end(
            {
                "pictwarden.request_id": self.request_id,
                "pictwarden.source": source,
                "pictwarden.outcome": outcome,
                "http.response.status_code": status,
            }
        )


def refused_before(headers: Mapping[str, str]) -> int:
    """How many pictures the front end refused before this request; 0 without its header, or one that it cannot send."""
    told = headers.get(REFUSED_HEADER, "")
    is_number = told.isascii() and told.isdecimal() and len(told) <= len(str(_MOST_REFUSED))
    return min(int(told), _MOST_REFUSED) if is_number else 0
