"""The words of each notice: what happened, how much, since when, what to do, and one command to look further."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from serve_app.domain import UNNAMED_SOURCE, HuntMode, NoticeKind, OnUnscanned, Tally
from serve_app.notices.facts import Counted, Facts, SuspendedEntry
from serve_app.notices.incidents import Phase, Telling
from serve_app.notices.message import Paragraph, Weight
from serve_app.notices.phrases import (
    ago,
    command_span,
    from_to,
    missed,
    moment_of,
    pictures,
    pictures_were,
    shown,
    some_of,
    span,
    time_of,
    was,
)
from serve_app.notices.reasons import fit_to_send
from serve_app.notices.worker_words import paragraph_about_workers
from serve_app.settings import Settings
from serve_app.wire import READY_PATH

MOST_LINES: Final = 6
"""Of rules and sources, and of entries; the rest is counted."""

_ASK_READY: Final = f"To look further: curl http://127.0.0.1:14051{READY_PATH}"


def counted_paragraphs(counted: Counted) -> list[Paragraph]:
    """What was rejected, and what could not be scanned."""
    paragraphs = []
    if counted.rejected:
        paragraphs.append(_rejected(counted))
    if counted.unscanned:
        paragraphs.append(_unscanned(counted))
    return paragraphs


def paragraph_of(telling: Telling, facts: Facts, settings: Settings) -> Paragraph:
    """An incident: that it has begun, that it lasts, or that it is over."""
    match telling.kind:
        case NoticeKind.SCANNER:
            return _scanner(telling, facts, settings)
        case NoticeKind.PENDING:
            return _pending(telling, facts)
        case NoticeKind.FLOOD_GUARD:
            return _flood_guard(telling, facts)
        case NoticeKind.HUNT:
            return _hunt(telling, facts, settings)
        case NoticeKind.PURGE_QUOTA:
            return _purge_quota(telling, facts, settings)
        case NoticeKind.SOURCE_QUOTA:
            return _source_quota(telling, facts, settings)
        case NoticeKind.LEDGER:
            return _ledger(telling, facts)
        case NoticeKind.WORKERS | NoticeKind.DISTRUST:
            return paragraph_about_workers(telling, facts, settings)
        case _:
            raise ValueError(f"{telling.kind} is counted by the hour")


def paragraph_of_test() -> Paragraph:
    """What `pictwarden notices test` sends."""
    text = (
        "This is a test: notices of this Pictwarden reach you. They say what happened, how much and since when, and "
        "never show a picture."
    )
    return Paragraph(NoticeKind.SCANNER, Weight.OVER, "a test", text)


def _rejected(counted: Counted) -> Paragraph:
    total = counted.rejected_count
    by = Counter[str]()
    has_one_source = _is_one(counted.rejected)
    for each in counted.rejected:
        what = f"by the rule {shown(each.rule)}" if each.rule else "by the lists"
        by[what if has_one_source else f"{what}, {_source(each)}"] += each.count
    lines = [
        f"{pictures_were(total)} rejected {span(counted.since, counted.until)}{_of_one_source(counted.rejected)}:",
        *_most(by, "other rules and sources"),
        f"To look further: pictwarden decisions --verdict reject {command_span(counted.since, counted.until)}",
    ]
    return Paragraph(NoticeKind.REJECTED, Weight.NEWS, f"{pictures_were(total)} rejected", "\n".join(lines))


def _unscanned(counted: Counted) -> Paragraph:
    total = counted.unscanned_count
    by, by_reason = Counter[str](), Counter[str]()
    has_one_source = _is_one(counted.unscanned)
    for each in counted.unscanned:
        what = f"because {_WHY_UNSCANNED.get(each.reason, each.reason)}"
        by[what if has_one_source else f"{what}, {_source(each)}"] += each.count
        by_reason[each.reason] += each.count
    kept = sum(each.count for each in counted.unscanned if each.kept)
    lines = [
        f"{pictures_were(total)} not scanned {span(counted.since, counted.until)}{_of_one_source(counted.unscanned)}:",
        *_most(by, "other reasons and sources"),
    ]
    if refused := total - kept:
        lines.append(f"{some_of(refused, total)} refused: the uploads can be tried again.")
    if kept:
        lines.append(f"{some_of(kept, total)} stored all the same (on_unscanned), to be scanned later.")
    lines.append(
        f"To look further: pictwarden decisions --reason {by_reason.most_common(1)[0][0]} "
        f"{command_span(counted.since, counted.until)}"
    )
    return Paragraph(NoticeKind.UNSCANNED, Weight.WARNING, f"{pictures_were(total)} not scanned", "\n".join(lines))


_WHY_UNSCANNED: Final = {
    "deadline": "no time was left (deadline)",
    "overloaded": "too many came at once (overloaded)",
    "unavailable": "no scanner could be reached (unavailable)",
}


def _scanner(telling: Telling, facts: Facts, settings: Settings) -> Paragraph:
    if telling.phase is Phase.OVER:
        text = f"Pictures are scanned again. Nothing could be scanned {from_to(telling)}."
        return Paragraph(telling.kind, Weight.OVER, "pictures are scanned again", text)
    is_refusing = settings.on_unscanned is OnUnscanned.REJECT or facts.has_ended
    meanwhile = (
        "Uploads are refused meanwhile."
        if is_refusing
        else "Uploads are stored unscanned meanwhile, and scanned once that is possible."
    )
    still = "Still no picture can be" if telling.phase is Phase.LASTS else "No picture can be"
    lines = [
        f"{still} scanned: {fit_to_send(facts.scanner_problem or '')}. It began {ago(telling.since, facts.at)}.",
        meanwhile,
        *missed(telling),
        "The log of the service says more: look for lines with ERROR. If it does not recover by itself, restart it.",
        _ASK_READY,
    ]
    return Paragraph(telling.kind, Weight.FAILURE, f"{still.lower()} scanned", "\n".join(lines))


def _pending(telling: Telling, facts: Facts) -> Paragraph:
    count, oldest_at = facts.pending.count, facts.pending.oldest_at or facts.at
    wait = "waits" if count == 1 else "wait"
    if telling.phase is Phase.OVER:
        still = f"; {count:,} {wait} now" if count else ""
        text = f"The pictures that were stored unscanned have been scanned{still}."
        return Paragraph(telling.kind, Weight.OVER, "the unscanned pictures have been scanned", text)
    still = "still " if telling.phase is Phase.LASTS else ""
    lines = [
        f"{pictures(count)} {was(count)} stored unscanned, and {still}{wait} to be scanned. The oldest was stored "
        f"{ago(oldest_at, facts.at)}.",
        *missed(telling),
        "The service scans such pictures when it has time, unless `rescan` is off or pict-rs cannot be asked "
        "(pictrs.url, and its key). The log says what keeps it from it.",
        "To look further: pictwarden decisions --pending",
    ]
    return Paragraph(telling.kind, Weight.WARNING, f"{pictures(count)} {wait} for a scan", "\n".join(lines))


def _flood_guard(telling: Telling, facts: Facts) -> Paragraph:
    if telling.phase is Phase.OVER:
        text = "No entry of the lists is suspended any more: somebody has confirmed or removed those that were."
        return Paragraph(telling.kind, Weight.OVER, "no list entry is suspended any more", text)
    told = telling.told_before if telling.phase is Phase.BEGUN else None
    new = [each for each in facts.suspended if told is None or each.at > told]
    entries, are = ("entry", "is") if len(new) == 1 else ("entries", "are")
    first = (
        f"{len(new):,} {entries} of the lists {are} still suspended, because"
        if telling.phase is Phase.LASTS
        else f"The flood guard has suspended {len(new):,} {entries} of the lists, because"
    )
    lines = [
        f"{first} {'it' if len(new) == 1 else 'they'} suddenly matched far more pictures than before:",
        *(_suspended(each, facts.at) for each in new[:MOST_LINES]),
        *([f"- and {len(new) - MOST_LINES:,} more"] if len(new) > MOST_LINES else []),
        "A suspended entry matches nothing until a person decides. If it is right, confirm it: "
        f"pictwarden list confirm {new[0].entry}",
        f"If it is not: pictwarden list remove {new[0].entry}",
        "To look further: pictwarden list show --suspended",
    ]
    return Paragraph(telling.kind, Weight.WARNING, f"{len(new):,} list {entries} {are} suspended", "\n".join(lines))


def _suspended(each: SuspendedEntry, at: datetime) -> str:
    return f"- entry {each.entry} of the bank {shown(each.bank)}, at {time_of(each.at, at)}"


def _hunt(telling: Telling, facts: Facts, settings: Settings) -> Paragraph:
    purged, left = (facts.hunted.purged, facts.hunted.left) if facts.hunted else (0, 0)
    found, of_each = purged + left, []
    if purged:
        of_each.append(f"{purged:,} {was(purged)} purged from pict-rs")
    if left:
        of_each.append(f"{left:,} {'is' if left == 1 else 'are'} still stored")
    lines = [
        f"A hunt has found {pictures(found)} that {was(found)} accepted before a list or the policy rejected "
        f"{'it' if found == 1 else 'them'}: {', '.join(of_each)}."
    ]
    if left and settings.hunt is HuntMode.PURGE:
        lines.append(
            "The log says why. Where pict-rs did not answer, or the day's quota of purges is used up, the service "
            "tries again."
        )
    elif left:
        lines.append("If that is right, run the command below with --purge; where the policy rejects, with --policy.")
    lines.append("If that is wrong, correct the policy or the lists.")
    lines.append(f"To look further: {'pictwarden hunt --config FILE' if left else 'pictwarden purges'}")
    return Paragraph(telling.kind, Weight.WARNING, f"a hunt has found {pictures(found)}", "\n".join(lines))


def _purge_quota(telling: Telling, facts: Facts, settings: Settings) -> Paragraph:
    midnight = facts.at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    lines = [
        f"{pictures_were(facts.purged_today)} purged from pict-rs since 00:00 UTC, as many as a day permits "
        f"(pictrs.max_purges_per_day: {settings.pictrs.max_purges_per_day:,}). Others that are rejected stay stored "
        "until the next 00:00 UTC.",
        "If the rejections are right, raise the number. If they are not, correct the policy or the lists first.",
        f"To look further: pictwarden decisions --verdict reject --since {moment_of(midnight)}",
    ]
    return Paragraph(telling.kind, Weight.WARNING, "the day's quota of purges is reached", "\n".join(lines))


def _source_quota(telling: Telling, facts: Facts, settings: Settings) -> Paragraph:
    by_count = Counter(dict(facts.over_quota)).most_common()
    is_one = len(by_count) == 1
    sources, send, quota = ("source", "sends", "its quota") if is_one else ("sources", "send", "their quotas")
    lines = [
        f"{len(by_count):,} {sources} {send} more pictures than {quota} permit{'s' * is_one}. It began "
        f"{ago(telling.since, facts.at)}. Too many were:",
        *(_over_quota(source, count, settings) for source, count in by_count[:MOST_LINES]),
        *([f"- and those of {len(by_count) - MOST_LINES:,} more"] if len(by_count) > MOST_LINES else []),
        "Other replicas of the service count their own. Such pictures are answered 503, whatever on_unscanned is.",
        *missed(telling),
        "If a source may send that much, raise its quota_per_minute in `sources`. If not, find out who uploads there.",
        f"To look further: pictwarden decisions --source {by_count[0][0]}",
    ]
    are = "is" if is_one else "are"
    return Paragraph(telling.kind, Weight.WARNING, f"{len(by_count):,} {sources} {are} over {quota}", "\n".join(lines))


def _over_quota(source: str, count: int, settings: Settings) -> str:
    known = settings.sources.get(source)
    quota = f", whose quota is {known.quota_per_minute:,} a minute" if known and known.quota_per_minute else ""
    return f"- {count:,} of {shown(source)}{quota}"


def _ledger(telling: Telling, facts: Facts) -> Paragraph:
    if telling.phase is Phase.OVER:
        text = f"Decisions are recorded again. They waited outside the database {from_to(telling)}."
        return Paragraph(telling.kind, Weight.OVER, "decisions are recorded again", text)
    health = facts.ledger
    still = "still " if telling.phase is Phase.LASTS else ""
    why = f"the ledger {fit_to_send(health.problem)}" if health.problem else "what waited is being recorded"
    lines = [
        f"Decisions {still}wait outside the database: {why}. It began {ago(telling.since, facts.at)}.",
        f"{health.spooled:,} wait in the spool of the service's process that tells this.",
        *([f"{health.dropped:,} were not recorded in time since its start."] if health.dropped else []),
        *missed(telling),
        "Pictures are scanned all the same. Look at the database: does it run, does it answer, is its disk full?",
        _ASK_READY,
    ]
    return Paragraph(telling.kind, Weight.FAILURE, "decisions are not recorded", "\n".join(lines))


def _most(by: Counter[str], others: str) -> list[str]:
    lines = [f"- {count:,} {what}" for what, count in by.most_common(MOST_LINES)]
    if rest := by.most_common()[MOST_LINES:]:
        lines.append(f"- and {sum(count for _, count in rest):,} more by {len(rest):,} {others}")
    return lines


def _of_one_source(tallies: Iterable[Tally]) -> str:
    sources = {each.source for each in tallies} - {UNNAMED_SOURCE}
    return f", all from {shown(sources.pop())}" if len(sources) == 1 and _is_one(tallies) else ""


def _is_one(tallies: Iterable[Tally]) -> bool:
    return len({each.source for each in tallies}) == 1


def _source(each: Tally) -> str:
    return "from no named source" if each.source == UNNAMED_SOURCE else f"from {shown(each.source)}"
