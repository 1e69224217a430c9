"""The thresholds of a policy's rules as they are written in its file, and the same file with other thresholds.

All thresholds of a rule move by one *margin*: each is raised by it, and lowered where an odd number of negations stands
around it. The rule's own margin then falls by exactly that on every view, since it is an order statistic of signed
distances. So a larger margin never makes a rule hold for more pictures.

Comments and layout stay: numbers are replaced where they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import cast

from serve_app.domain import PolicyError
from serve_app.policy.calibrated import SECTION
from serve_app.policy.diagnostics import LINE_BREAK, Report, Span, quote
from serve_app.policy.document import ListValue, MappingValue, ScalarValue, Value, read_document
from serve_app.policy.parsing import parse_policy
from serve_app.policy.schema import Policy

STEP_DECIMALS = 6
"""Margins have at most so many decimals: float32 scores have hardly more."""


@dataclass(frozen=True, slots=True)
class WrittenThreshold:
    """The number behind an ``above``. ``rises`` is False under an odd number of negations.

    ``low`` and ``high`` are the ends of the scores that there are, where every threshold stops.
    """

    span: Span
    number: Decimal
    low: Decimal
    high: Decimal
    rises: bool

    def moved(self, by: Decimal) -> Decimal:
        """The number after its rule has moved."""
        return min(max(self._unbounded(by), self.low), self.high)

    def never_holds_after(self, by: Decimal) -> bool:
        """Whether the condition, its negations included, holds for no score that there is."""
        return self._unbounded(by) >= self.high if self.rises else self._unbounded(by) < self.low

    def _unbounded(self, by: Decimal) -> Decimal:
        return self.number + (by if self.rises else -by)


class PolicyText:
    """A policy, the text that it was read from, and the groups of rules whose thresholds move together.

    ``groups`` has the names of the rules that are not off, those that share a named condition together: a threshold
    that both need can only move once.
    """

    def __init__(self, text: str, file_name: str) -> None:
        """``file_name`` is only shown.

        Raises:
            PolicyError: the text is not a policy, or a threshold would have to move both ways.
        """
        text = _uncalibrated(text.removeprefix("\ufeff"), file_name)
        self.policy = parse_policy(text, file_name)
        self._report = Report(file_name, text)
        # parse_policy() has checked all of its shape.
        self._document = cast("MappingValue", read_document(self._report))
        thresholds = {rule.name: list(self._of_rule(rule.name)) for rule in self.policy.rules}
        self._require_one_way(thresholds)
        self.groups = _groups({rule: {each.span for each in found} for rule, found in thresholds.items()})
        self._by_group = [
            list({each.span: each for rule in group for each in thresholds[rule]}.values()) for group in self.groups
        ]

    def with_margins(self, margins: Mapping[str, Decimal]) -> str:
        """The text after every rule has moved, without a calibration.

        Args:
            margins: by the name of each rule; equal ones within a group.
        """
        new = {
            each.span: format(each.moved(margins[group[0]]).normalize(), "f")
            for group, thresholds in zip(self.groups, self._by_group, strict=True)
            for each in thresholds
            if margins[group[0]]
        }
        return _without_section(_replaced(self._report.text, new), self._document)

    def lost(self, rule: str, by: Decimal) -> list[int]:
        """The lines with thresholds of ``rule`` whose conditions hold for no score that there is after this move."""
        return sorted(each.span.line for each in self._of_rule(rule) if each.never_holds_after(by))

    def named_from(self, file: Path) -> Policy:
        """The policy as it would be read from ``file``: heads are named from its folder."""
        return parse_policy(self._report.text, str(file))

    def only_threshold(self, rule: str) -> WrittenThreshold | None:
        """The threshold of a rule that has exactly one."""
        found = {each.span: each for each in self._of_rule(rule)}
        return next(iter(found.values())) if len(found) == 1 else None

    def _of_rule(self, name: str) -> Iterator[WrittenThreshold]:
        rules = cast("list[MappingValue]", self._document["rules"])
        (when,) = (rule["when"] for rule in rules if rule["name"] == name)
        yield from self._below(when, rises=True)

    def _below(self, condition: Value, *, rises: bool) -> Iterator[WrittenThreshold]:
        found = cast("MappingValue", condition)
        if "concept" in found:
            concept = next(each for each in self.policy.concepts if each.name == found["concept"])
            written = cast("ScalarValue", found["above"])
            low, high = (Decimal(str(end)) for end in concept.score.range)
            yield WrittenThreshold(written.span, Decimal(written), low, high, rises)
        elif "condition" in found:
            named = cast("MappingValue", self._document["conditions"])
            yield from self._below(named[cast("ScalarValue", found["condition"])], rises=rises)
        elif "not" in found:
            yield from self._below(found["not"], rises=not rises)
        else:
            of = cast("MappingValue", found["at_least"])["of"] if "at_least" in found else _only(found)
            for each in cast("ListValue", of):
                yield from self._below(each, rises=rises)

    def _require_one_way(self, thresholds: Mapping[str, list[WrittenThreshold]]) -> None:
        ways: dict[Span, bool] = {}
        for rule, found in thresholds.items():
            for each in found:
                if ways.setdefault(each.span, each.rises) is not each.rises:
                    message = f"rule {quote(rule)} needs this threshold higher, and through a negation lower"
                    self._report.error(
                        each.span, message, "write the condition twice, with a threshold of its own each"
                    )
        if self._report.diagnostics:
            raise self._report.failure()


def _only(found: MappingValue) -> Value:
    return next(value for key, value in found.items() if key in ("all", "any"))


def _groups(spans: Mapping[str, set[Span]]) -> tuple[tuple[str, ...], ...]:
    """Rules that share a threshold, directly or by way of others, together."""
    groups: list[tuple[list[str], set[Span]]] = []
    for rule, own in spans.items():
        touching = [group for group in groups if group[1] & own]
        joined = [name for names, _ in touching for name in names] + [rule]
        groups = [group for group in groups if group not in touching]
        groups.append((joined, own.union(*(others for _, others in touching))))
    return tuple(tuple(names) for names, _ in groups)


def _replaced(text: str, new: Mapping[Span, str]) -> str:
    starts = _line_starts(text)
    # From the end of the file, so that the places of those before stay right.
    for span in sorted(new, reverse=True):
        start = starts[span.line - 1] + span.column - 1
        text = text[:start] + new[span] + text[start + span.width :]
    return text


def _uncalibrated(text: str, file_name: str) -> str:
    """The text without its calibration, which no longer holds for a policy that is about to be calibrated again."""
    document = read_document(Report(file_name, text))
    return _without_section(text, document) if isinstance(document, MappingValue) else text


def _without_section(text: str, document: MappingValue) -> str:
    """The text without its calibration, and the comment directly above that."""
    section = document.written.get(SECTION)
    if section is None:
        return text
    starts = [*_line_starts(text), len(text)]
    first = section.span.line - 1
    while first and text.startswith("#", starts[first - 1]):
        first -= 1
    below = [key.span.line - 1 for key in document.written.values() if key.span.line > section.span.line]
    return text[: starts[first]] + text[starts[min(below, default=-1)] :]


def _line_starts(text: str) -> list[int]:
    return [0, *(each.end() for each in LINE_BREAK.finditer(text))]


def with_section(text: str, section: str, file_name: str) -> str:
    """``text`` with a calibration at its end.

    Raises:
        PolicyError: the policy is written as one mapping in braces, to which nothing can be added.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    whole = text.rstrip() + newline * 2 + section.replace("\n", newline)
    try:
        parse_policy(whole, file_name)
    except PolicyError as error:
        raise PolicyError(
            f"{file_name}: no section can be added to this policy: write one key a line\n{error}"
        ) from error
    return whole
