"""Pictures on their way through both: uploaded to pict-rs, decided on by Pictwarden.

pict-rs now and then posts an empty or a cut body, because it reads its file before the last write has reached it. Such
an upload says nothing about us: it is counted, and sent again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.e2e.pictrs.server import PictRs, Upload
from tests.serve.conftest import wait_for

MAX_RACES = 3
"""In a row, of one picture: more are no race."""

_DECISION = re.compile(r"request \S+: (?P<outcome>.+?) rule=(?P<rule>\S+) .*\bbytes=(?P<bytes>\d+)\b")
_REFUSAL = re.compile(r"request \S+ answered \d+ (?P<outcome>\S+)")


@dataclass(frozen=True)
class Said:
    """Pictwarden's log line about one body."""

    outcome: str
    """The verdict, or why there is none."""
    rule: str | None = None
    body_bytes: int | None = None
    """Of what pict-rs posted; None where we did not read it to its end."""

    def is_about(self, body: bytes) -> bool:
        """Whether pict-rs posted all of the picture, as far as we know."""
        return self.outcome != "empty_body" and self.body_bytes in (None, len(body))


@dataclass
class Races:
    """How many bodies pict-rs has posted, and how many of them were not the picture that it would store."""

    bodies: int = 0
    races: int = 0

    def count(self, said: Said, body: bytes) -> bool:
        """Count one body; whether it was a race."""
        self.bodies += 1
        self.races += not said.is_about(body)
        return not said.is_about(body)


@dataclass(frozen=True)
class Validation:
    """A pict-rs and the service that it asks. The log does not say whose line is whose: one picture at a time."""

    pictrs: PictRs
    service: Any
    races: Races

    def upload(self, body: bytes) -> tuple[Upload, Said]:
        """Upload a picture; again, when pict-rs posted something else than what it stores."""
        for _ in range(MAX_RACES):
            seen = len(self.service.output)
            upload = self.pictrs.upload(body)
            (said,) = self.said_since(seen, 1)
            if not self.races.count(said, body):
                return upload, said
        raise AssertionError(f"pict-rs posted {said.body_bytes} of {len(body)} bytes, {MAX_RACES} times in a row")

    def said_since(self, seen: int, bodies: int) -> Sequence[Said]:
        """Our lines behind the first ``seen`` ones, once there are ``bodies`` of them."""
        wait_for(lambda: len(_said(self.service.output[seen:])) >= bodies)  # another thread writes them
        return _said(self.service.output[seen:])


def _said(lines: Sequence[str]) -> list[Said]:
    said = []
    for line in lines:
        if decision := _DECISION.search(line):
            said.append(Said(decision["outcome"], decision["rule"], int(decision["bytes"])))
        elif refusal := _REFUSAL.search(line):
            said.append(Said(refusal["outcome"]))
    return said
