"""The words of each notice: what happened, how much, since when, what to do, and one command to look further."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from serve_app.domain import UNNAMED_SOURCE, HuntMode, NoticeKind, OnUnscanned, Tally
from serve_app.notices.facts import Counted, Facts, SuspendedEntry
from serve_app.notices.incidents import Phase, Telling
from serve_app.notices.message import Paragraph, Weight
from serve_app.notices.reasons import fit_to_send
from serve_app.settings import Settings
from serve_app.wire import READY_PATH

MOST_LINES: Final = 6
"""Of rules and sources, and of entries; the rest is counted."""

MOST_CHARACTERS: Final = 60
"""Of a name that somebody else has given."""

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
        what = f"by the rule {_name(each.rule)}" if each.rule else "by the lists"
        by[what if has_one_source else f"{what}, {_source(each)}"] += each.count
    lines = [
        f"{_pictures(total)} rejected {_span(counted.since, counted.until)}{_of_one_source(counted.rejected)}:",
        *_most(by, "other rules and sources"),
        f"To look further: pictwarden decisions --verdict reject {_command_span(counted.since, counted.until)}",
    ]
    return Paragraph(NoticeKind.REJECTED, Weight.NEWS, f"{_pictures(total)} rejected", "\n".join(lines))


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
        f"{_pictures(total)} not scanned {_span(counted.since, counted.until)}{_of_one_source(counted.unscanned)}:",
        *_most(by, "other reasons and sources"),
    ]
    if refused := total - kept:
        lines.append(f"{_some_of(refused, total)} refused: the uploads can be tried again.")
    if kept:
        lines.append(f"{_some_of(kept, total)} stored all the same (on_unscanned), to be scanned later.")
    lines.append(
        f"To look further: pictwarden decisions --reason {by_reason.most_common(1)[0][0]} "
        f"{_command_span(counted.since, counted.until)}"
    )
    return Paragraph(NoticeKind.UNSCANNED, Weight.WARNING, f"{_pictures(total)} not scanned", "\n".join(lines))


_WHY_UNSCANNED: Final = {
    "deadline": "no time was left (deadline)",
    "overloaded": "too many came at once (overloaded)",
    "unavailable": "no scanner could be reached (unavailable)",
}


def _scanner(telling: Telling, facts: Facts, settings: Settings) -> Paragraph:
    if telling.phase is Phase.OVER:
        text = f"Pictures are scanned again. Nothing could be scanned {_from_to(telling)}."
        return Paragraph(telling.kind, Weight.OVER, "pictures are scanned again", text)
    is_refusing = settings.on_unscanned is OnUnscanned.REJECT or facts.has_ended
    meanwhile = (
        "Uploads are refused meanwhile."
        if is_refusing
        else "Uploads are stored unscanned meanwhile, and scanned once that is possible."
    )
    still = "Still no picture can be" if telling.phase is Phase.LASTS else "No picture can be"
    lines = [
        f"{still} scanned: {fit_to_send(facts.scanner_problem or '')}. It began {_ago(telling.since, facts.at)}.",
        meanwhile,
        *_missed(telling),
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
        f"{_noun(count)} {_was(count)} stored unscanned, and {still}{wait} to be scanned. The oldest was stored "
        f"{_ago(oldest_at, facts.at)}.",
        *_missed(telling),
        "The service scans such pictures when it has time, unless `rescan` is off or pict-rs cannot be asked "
        "(pictrs.url, and its key). The log says what keeps it from it.",
        "To look further: pictwarden decisions --pending",
    ]
    return Paragraph(telling.kind, Weight.WARNING, f"{_noun(count)} {wait} for a scan", "\n".join(lines))


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
    return f"- entry {each.entry} of the bank {_name(each.bank)}, at {_time(each.at, at)}"


def _hunt(telling: Telling, facts: Facts, settings: Settings) -> Paragraph:
    purged, left = (facts.hunted.purged, facts.hunted.left) if facts.hunted else (0, 0)
    found, of_each = purged + left, []
    if purged:
        of_each.append(f"{purged:,} {_was(purged)} purged from pict-rs")
    if left:
        of_each.append(f"{left:,} {'is' if left == 1 else 'are'} still stored")
    lines = [
        f"A hunt has found {_noun(found)} that {_was(found)} accepted before a list or the policy rejected "
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
    return Paragraph(telling.kind, Weight.WARNING, f"a hunt has found {_noun(found)}", "\n".join(lines))


def _purge_quota(telling: Telling, facts: Facts, settings: Settings) -> Paragraph:
    midnight = facts.at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    lines = [
        f"{_pictures(facts.purged_today)} purged from pict-rs since 00:00 UTC, as many as a day permits "
        f"(pictrs.max_purges_per_day: {settings.pictrs.max_purges_per_day:,}). Others that are rejected stay stored "
        "until the next 00:00 UTC.",
        "If the rejections are right, raise the number. If they are not, correct the policy or the lists first.",
        f"To look further: pictwarden decisions --verdict reject --since {_moment(midnight)}",
    ]
    return Paragraph(telling.kind, Weight.WARNING, "the day's quota of purges is reached", "\n".join(lines))


def _source_quota(telling: Telling, facts: Facts, settings: Settings) -> Paragraph:
    by_count = Counter(dict(facts.over_quota)).most_common()
    is_one = len(by_count) == 1
    sources, send, quota = ("source", "sends", "its quota") if is_one else ("sources", "send", "their quotas")
    lines = [
        f"{len(by_count):,} {sources} {send} more pictures than {quota} permit{'s' * is_one}. It began "
        f"{_ago(telling.since, facts.at)}. Too many were:",
        *(_over_quota(source, count, settings) for source, count in by_count[:MOST_LINES]),
        *([f"- and those of {len(by_count) - MOST_LINES:,} more"] if len(by_count) > MOST_LINES else []),
        "Other replicas of the service count their own. Such pictures are answered 503, whatever on_unscanned is.",
        *_missed(telling),
        "If a source may send that much, raise its quota_per_minute in `sources`. If not, find out who uploads there.",
        f"To look further: pictwarden decisions --source {by_count[0][0]}",
    ]
    are = "is" if is_one else "are"
    return Paragraph(telling.kind, Weight.WARNING, f"{len(by_count):,} {sources} {are} over {quota}", "\n".join(lines))


def _over_quota(source: str, count: int, settings: Settings) -> str:
    known = settings.sources.get(source)
    quota = f", whose quota is {known.quota_per_minute:,} a minute" if known and known.quota_per_minute else ""
    return f"- {count:,} of {_name(source)}{quota}"


def _ledger(telling: Telling, facts: Facts) -> Paragraph:
    if telling.phase is Phase.OVER:
        text = f"Decisions are recorded again. They waited outside the database {_from_to(telling)}."
        return Paragraph(telling.kind, Weight.OVER, "decisions are recorded again", text)
    health = facts.ledger
    still = "still " if telling.phase is Phase.LASTS else ""
    why = f"the ledger {fit_to_send(health.problem)}" if health.problem else "what waited is being recorded"
    lines = [
        f"Decisions {still}wait outside the database: {why}. It began {_ago(telling.since, facts.at)}.",
        f"{health.spooled:,} wait in the spool of the service's process that tells this.",
        *([f"{health.dropped:,} were not recorded in time since its start."] if health.dropped else []),
        *_missed(telling),
        "Pictures are scanned all the same. Look at the database: does it run, does it answer, is its disk full?",
        _ASK_READY,
    ]
    return Paragraph(telling.kind, Weight.FAILURE, "decisions are not recorded", "\n".join(lines))


def _missed(telling: Telling) -> list[str]:
    """Incidents that were over before there was a message for them."""
    if not telling.missed:
        return []
    return [
        f"It happened {telling.missed:,} more {'time' if telling.missed == 1 else 'times'} since the last notice of it."
    ]


def _most(by: Counter[str], others: str) -> list[str]:
    lines = [f"- {count:,} {what}" for what, count in by.most_common(MOST_LINES)]
    if rest := by.most_common()[MOST_LINES:]:
        lines.append(f"- and {sum(count for _, count in rest):,} more by {len(rest):,} {others}")
    return lines


def _of_one_source(tallies: Iterable[Tally]) -> str:
    sources = {each.source for each in tallies} - {UNNAMED_SOURCE}
    return f", all from {_name(sources.pop())}" if len(sources) == 1 and _is_one(tallies) else ""


def _is_one(tallies: Iterable[Tally]) -> bool:
    return len({each.source for each in tallies}) == 1


def _source(each: Tally) -> str:
    return "from no named source" if each.source == UNNAMED_SOURCE else f"from {_name(each.source)}"


def _name(given: str | None) -> str:
    """In one line, and not too long."""
    plain = "".join(each if each.isprintable() else " " for each in given or "")
    return plain if len(plain) <= MOST_CHARACTERS else plain[: MOST_CHARACTERS - 1] + "…"


def _noun(count: int) -> str:
    return f"{count:,} picture{'s' * (count != 1)}"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _some_of(count: int, total: int) -> str:
    if count == total:
        return "It was" if total == 1 else "All were"
    return f"{count:,} of them {_was(count)}"


def _pictures(count: int) -> str:
    return f"{_noun(count)} {_was(count)}"


def _span(since: datetime, until: datetime) -> str:
    return f"between {_between(since, until)}"


def _from_to(telling: Telling) -> str:
    return f"between {_between(telling.since, telling.until)}"


def _between(since: datetime, until: datetime) -> str:
    first, last = since.astimezone(UTC), until.astimezone(UTC)
    if first.date() == last.date():
        return f"{first:%H:%M} and {last:%H:%M} UTC"
    return f"{first:%Y-%m-%d %H:%M} and {last:%Y-%m-%d %H:%M} UTC"


def _command_span(since: datetime, until: datetime) -> str:
    return f"--since {_moment(since)} --until {_moment(until)}"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _time(at: datetime, now: datetime) -> str:
    """``at`` in UTC, which the log of a server has, too; the day where that is another one than ``now``."""
    ours = at.astimezone(UTC)
    is_of_today = ours.date() == now.astimezone(UTC).date()
    return f"{ours:%H:%M} UTC" if is_of_today else f"{ours:%Y-%m-%d %H:%M} UTC"


def _ago(since: datetime, now: datetime) -> str:
    minutes = int((now - since).total_seconds() // 60)
    return f"at {_time(since, now)}" + (f", {_duration(now - since)} ago" if minutes else "")


def _duration(given: timedelta) -> str:
    minutes = int(given.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} minute{'s' * (minutes != 1)}"
    hours = minutes // 60
    return f"{hours} hours" if hours < 48 else f"{hours // 24} days"
