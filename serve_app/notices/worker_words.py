"""The words of the notices about workers elsewhere: that none scores, and that scores of some are in doubt."""

from __future__ import annotations

import shlex
from typing import Final

from serve_app.domain import NoticeKind, OnUnscanned
from serve_app.domain.workers import StandingIn, WorkersHealth
from serve_app.notices.facts import DoubtedScores, Facts
from serve_app.notices.incidents import Phase, Telling
from serve_app.notices.message import Paragraph, Weight
from serve_app.notices.phrases import ago, from_to, missed, moment_of, shown
from serve_app.notices.reasons import fit_to_send
from serve_app.settings import Settings

MOST_DOUBTS: Final = 4
"""In one notice; the rest is counted."""

_ASK_WORKERS: Final = "To look further: pictwarden workers"


def paragraph_about_workers(telling: Telling, facts: Facts, settings: Settings) -> Paragraph:
    """An incident: that none scores, or that scores of some are in doubt."""
    if telling.kind is NoticeKind.DISTRUST:
        return _doubts(telling, facts)
    return _workers(telling, facts, settings)


def _workers(telling: Telling, facts: Facts, settings: Settings) -> Paragraph:
    if telling.phase is Phase.OVER:
        text = f"Workers score again. None did {from_to(telling)}."
        return Paragraph(telling.kind, Weight.OVER, "workers score again", text)
    health = facts.workers or WorkersHealth()
    what = _state(health)
    headline = f"still {what}" if telling.phase is Phase.LASTS else what
    lines = [
        f"{_capital(headline)}. It began {ago(telling.since, facts.at)}.",
        _meanwhile(health, is_refusing=settings.on_unscanned is OnUnscanned.REJECT),
        *missed(telling),
        "A worker that runs connects by itself: its log says what keeps it from that."
        if not health.connected
        else "The state of each worker says why: it may be on trial, silent, or leaving.",
        _ASK_WORKERS,
    ]
    weight = Weight.FAILURE if health.standing_in is StandingIn.NOBODY else Weight.WARNING
    return Paragraph(telling.kind, weight, headline, "\n".join(lines))


def _state(health: WorkersHealth) -> str:
    if not health.connected:
        return "no worker is connected"
    are = "worker is connected and gets" if health.connected == 1 else "workers are connected and get"
    return f"{health.connected:,} {are} no pictures"


def _meanwhile(health: WorkersHealth, *, is_refusing: bool) -> str:
    match health.standing_in:
        case StandingIn.SERVICE:
            return "The service looks at uploads by itself meanwhile, as remote.fallback says."
        case StandingIn.FEDI_SAFETY:
            return "Workers of fedi-safety scan uploads meanwhile: they give no reasons, and know of no deadline."
        case StandingIn.NOBODY:
            rest = "refused" if is_refusing else "stored unscanned, and scanned once that is possible"
            return f"No picture can be scanned: uploads are {rest}."


def _doubts(telling: Telling, facts: Facts) -> Paragraph:
    told = telling.told_before
    new = [each for each in facts.doubts if told is None or each.at > told] or list(facts.doubts)
    lines = [line for each in new[:MOST_DOUBTS] for line in _doubt(each, facts)]
    if len(new) > MOST_DOUBTS:
        lines.append(f"And {len(new) - MOST_DOUBTS:,} more: the log has them all.")
    lines.append(_ASK_WORKERS)
    are = "are" if len({name for each in new for name in each.decisions}) > 1 else "is"
    noun = "workers" if are == "are" else "a worker"
    return Paragraph(telling.kind, Weight.FAILURE, f"scores of {noun} are in doubt", "\n".join(lines))


def _doubt(doubt: DoubtedScores, facts: Facts) -> list[str]:
    names = [shown(each) for each in doubt.decisions]
    why = fit_to_send(doubt.why)
    first = f"The worker {names[0]} scored wrongly, and was dropped: {why}" if len(names) == 1 else _capital(why)
    lines = [f"{first}. It was noticed {ago(doubt.at, facts.at)}."]
    if doubt.since is None:
        return [
            *lines,
            "It was on trial, and had scored no picture of anybody."
            if len(names) == 1
            else "Neither was ever known to be right.",
        ]
    whose = "Its scores were" if len(names) == 1 else "The scores of both were"
    lines.append(f"{whose} last known to be right {ago(doubt.since, facts.at)}.")
    for name, count in doubt.decisions.items():
        decisions = f"{count:,} decision{'s' * (count != 1)}"
        command = f"pictwarden decisions --worker {shlex.quote(name)} --since {moment_of(doubt.since)}"
        lines.append(f"{decisions} since then {'is' if count == 1 else 'are'} by {shown(name)}: {command}")
    return [*lines, "These scores are not used again: the same pictures are scanned anew when they come."]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
