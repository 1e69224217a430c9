"""Every message that an admin may get, word for word.

After a change that is meant, write the messages anew and read the difference before committing it::

    PICTWARDEN_UPDATE_GOLDEN=1 pytest tests/golden/test_notices.py
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serve_app.domain import UNNAMED_SOURCE, Lane, LedgerHealth, NoticeKind, PendingDecisions, Tally, Verdict
from serve_app.domain.workers import StandingIn, WorkersHealth
from serve_app.notices.facts import DoubtedScores, Facts, HuntedPictures, SuspendedEntry
from serve_app.notices.hours import counted_in
from serve_app.notices.incidents import Phase, Telling
from serve_app.notices.message import Paragraph, message_of
from serve_app.notices.words import counted_paragraphs, paragraph_of, paragraph_of_test
from serve_app.settings import parse_settings

FOLDER = Path(__file__).parent / "notices"

NOW = datetime(2026, 11, 26, 14, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS = parse_settings({"sources": {"kbin": {"secrets_env": "KBIN", "quota_per_minute": 600}}})
ACCEPTING = parse_settings({"on_unscanned": "accept"})


def rejected(count: int, rule: str | None, source: str = UNNAMED_SOURCE, hours: float = 1.0) -> Tally:
    reason = "policy" if rule else "listed"
    return Tally(source, Lane.LIVE, reason, Verdict.REJECT, rule, False, count, NOW - timedelta(hours=hours))


def unscanned(count: int, reason: str, source: str = UNNAMED_SOURCE, *, kept: bool = False) -> Tally:
    return Tally(source, Lane.LIVE, reason, None, None, kept, count, NOW - HOUR)


def counted(*tallies: Tally, hours: int = 1) -> list[Paragraph]:
    until = NOW.replace(minute=0)
    return counted_paragraphs(counted_in(tallies, until - hours * HOUR, until))


def incident(
    kind: NoticeKind, phase: Phase, *, hours: float = 0.0, missed: int = 0, accepts: bool = False, **facts: Any
) -> Paragraph:
    telling = Telling(kind, phase, NOW - hours * HOUR, NOW - timedelta(minutes=5), missed)
    return paragraph_of(telling, Facts(NOW, **facts), ACCEPTING if accepts else SETTINGS)


def suspended(count: int) -> tuple[SuspendedEntry, ...]:
    return tuple(SuspendedEntry(17 + each, "community", NOW - (20 + each) * HOUR) for each in range(count))


SCANNER, PENDING, GUARD, QUOTA, LEDGER = (
    NoticeKind.SCANNER,
    NoticeKind.PENDING,
    NoticeKind.FLOOD_GUARD,
    NoticeKind.PURGE_QUOTA,
    NoticeKind.LEDGER,
)
SILENT = "the scorer did not answer in time"
ENDED = "batching has ended"
WORKERS, DISTRUST = NoticeKind.WORKERS, NoticeKind.DISTRUST
ABSENT = WorkersHealth(0, NOW)
WRONG = DoubtedScores(
    NOW - timedelta(minutes=2),
    NOW - timedelta(minutes=19),
    "compared with ben/rented card: 3 of 20 views are 0.31 apart",
    {"anna/desktop": 1_203},
)
CONTRADICTION = DoubtedScores(
    NOW,
    NOW - 2 * HOUR,
    "workers anna/desktop and ben/rented card disagree: 0.4 apart. Nobody is there to say which of them is right",
    {"anna/desktop": 1, "ben/rented card": 7},
)
SPOOLING = LedgerHealth("cannot be written", 37, 2)
FIVE_HUNDRED = PendingDecisions(512, NOW - 30 * HOUR)

MESSAGES: Mapping[str, Sequence[Paragraph]] = {
    "rejected-one": counted(rejected(1, "no-red")),
    "rejected-by-rules": counted(rejected(7, "no-red"), rejected(1_203, "minor-and-sexual"), rejected(2, None)),
    "rejected-of-one-source": counted(rejected(7, "no-red", "lemmy"), rejected(2, None, "lemmy")),
    "rejected-of-sources": counted(
        rejected(7, "no-red", "lemmy"), rejected(2, None, "kbin"), rejected(1, "no-red", UNNAMED_SOURCE)
    ),
    "rejected-over-hours": counted(
        *(rejected(number, f"rule-{number}", hours=16) for number in range(1, 10)),
        rejected(3, "a\n" + "long" * 30),
        hours=24,
    ),
    "unscanned-refused": counted(unscanned(30, "overloaded"), unscanned(7, "deadline")),
    "unscanned-of-one-source": counted(unscanned(30, "overloaded", "lemmy"), unscanned(7, "deadline", "lemmy")),
    "unscanned-of-sources": counted(
        unscanned(30, "overloaded", "lemmy"),
        unscanned(7, "deadline", "kbin", kept=True),
        unscanned(2, "overloaded"),
        *(unscanned(1, "deadline", f"source-{number}") for number in range(1, 6)),
    ),
    "unscanned-stored": counted(unscanned(1, "unavailable", kept=True)),
    "scanner-begun": [incident(SCANNER, Phase.BEGUN, hours=0.05, scanner_problem=SILENT)],
    "scanner-begun-accepting": [
        incident(SCANNER, Phase.BEGUN, hours=0.05, missed=3, scanner_problem=SILENT, accepts=True)
    ],
    "scanner-ended": [
        incident(SCANNER, Phase.BEGUN, accepts=True, has_ended=True, scanner_problem="the service has ended: " + ENDED)
    ],
    "scanner-lasts": [incident(SCANNER, Phase.LASTS, hours=73, scanner_problem=SILENT)],
    "scanner-over": [incident(SCANNER, Phase.OVER, hours=1.5)],
    "pending-begun": [incident(PENDING, Phase.BEGUN, pending=PendingDecisions(100, NOW - HOUR))],
    "pending-one": [incident(PENDING, Phase.BEGUN, pending=PendingDecisions(1, NOW - 6 * HOUR))],
    "pending-lasts": [incident(PENDING, Phase.LASTS, hours=24, pending=FIVE_HUNDRED)],
    "pending-over": [incident(PENDING, Phase.OVER, hours=24, pending=PendingDecisions(3, NOW))],
    "pending-over-none": [incident(PENDING, Phase.OVER, hours=24)],
    "flood-guard-begun": [incident(GUARD, Phase.BEGUN, suspended=suspended(1))],
    "flood-guard-lasts": [incident(GUARD, Phase.LASTS, suspended=suspended(9))],
    "flood-guard-over": [incident(GUARD, Phase.OVER)],
    "hunt-left": [incident(NoticeKind.HUNT, Phase.BEGUN, hunted=HuntedPictures(NOW, 0, 1))],
    "hunt-purged": [incident(NoticeKind.HUNT, Phase.BEGUN, hunted=HuntedPictures(NOW, 1_203, 0))],
    "hunt-over-quota": [
        paragraph_of(
            Telling(NoticeKind.HUNT, Phase.LASTS, NOW - 24 * HOUR, NOW),
            Facts(NOW, hunted=HuntedPictures(NOW, 100, 7)),
            parse_settings({"hunt": "purge"}),
        )
    ],
    "purge-quota": [incident(QUOTA, Phase.BEGUN, purged_today=100)],
    "source-quota-one": [
        incident(NoticeKind.SOURCE_QUOTA, Phase.BEGUN, hours=0.2, over_quota={"kbin": 1_203}, is_over_quota=True)
    ],
    "source-quota-several": [
        incident(
            NoticeKind.SOURCE_QUOTA,
            Phase.LASTS,
            hours=24,
            over_quota={f"source-{number}": number for number in range(1, 9)},
            is_over_quota=True,
        )
    ],
    "ledger-begun": [incident(LEDGER, Phase.BEGUN, hours=0.05, missed=1, ledger=SPOOLING)],
    "ledger-lasts": [incident(LEDGER, Phase.LASTS, hours=26, ledger=LedgerHealth(None, 1_000_000))],
    "ledger-over": [incident(LEDGER, Phase.OVER, hours=1)],
    "workers-absent": [incident(WORKERS, Phase.BEGUN, hours=0.02, workers=ABSENT)],
    "workers-absent-accepting": [incident(WORKERS, Phase.LASTS, hours=30, missed=2, accepts=True, workers=ABSENT)],
    "workers-not-trusted": [incident(WORKERS, Phase.BEGUN, hours=0.02, workers=replace(ABSENT, connected=2))],
    "workers-fallback": [
        incident(WORKERS, Phase.BEGUN, hours=0.02, workers=replace(ABSENT, standing_in=StandingIn.SERVICE))
    ],
    "workers-fedi-safety": [
        incident(WORKERS, Phase.BEGUN, hours=0.02, workers=replace(ABSENT, standing_in=StandingIn.FEDI_SAFETY))
    ],
    "workers-over": [incident(WORKERS, Phase.OVER, hours=1.5, workers=WorkersHealth(1))],
    "distrust-one": [incident(DISTRUST, Phase.BEGUN, doubts=[WRONG])],
    "distrust-never-right": [incident(DISTRUST, Phase.BEGUN, doubts=[replace(WRONG, since=None)])],
    "distrust-several": [
        incident(DISTRUST, Phase.BEGUN, doubts=[CONTRADICTION, replace(CONTRADICTION, since=None), *[WRONG] * 3])
    ],
    "several": [
        *counted(rejected(12, "no-red"), unscanned(2, "overloaded")),
        incident(SCANNER, Phase.BEGUN, hours=0.05, scanner_problem=SILENT),
        incident(LEDGER, Phase.OVER, hours=1),
    ],
    "test": [paragraph_of_test()],
}


@pytest.mark.parametrize("name", MESSAGES)
def test_the_message_is_the_golden_one(name: str) -> None:
    message = message_of(MESSAGES[name], left_out=4 if name == "several" else 0)
    text = f"{message.title}\n\n{message.body}\n"
    golden = FOLDER / f"{name}.txt"
    if os.environ.get("PICTWARDEN_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_every_golden_message_is_one() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(MESSAGES)


def test_every_kind_has_a_message() -> None:
    assert {each.kind for message in MESSAGES.values() for each in message} == set(NoticeKind)
