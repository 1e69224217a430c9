"""Why a policy judges a picture as it does: each condition of each rule, and how far every view is over its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from serve_app.domain import LabelScores, Verdict
from serve_app.policy.conditions import Above, AllOf, AnyOf, AtLeast, Condition, Named, Not
from serve_app.policy.evaluation import FloatArray, Margins, known, margins_of, ranked
from serve_app.policy.schema import Policy


@dataclass(frozen=True, slots=True)
class ExplainedCondition:
    """One condition: ``text`` for people, how deep it is nested, and its margins, float64 ``(views,)``.

    It holds on the views whose margin is more than zero. A margin is NaN where it is unknown.
    """

    text: str
    depth: int
    margins: FloatArray

    @property
    def closest_view(self) -> int:
        """The view with the largest margin, the first of equal ones."""
        return int(ranked(self.margins).argmax())

    @property
    def margin(self) -> float | None:
        """The largest margin; None if it is unknown on every view."""
        return known(self.margins[self.closest_view])

    @property
    def views(self) -> tuple[int, ...]:
        """The views on which it holds."""
        return tuple(int(view) for view in (self.margins > 0).nonzero()[0])


@dataclass(frozen=True, slots=True)
class ExplainedRule:
    """A rule, and its conditions in the order of the file; the first one is the whole of it."""

    name: str
    verdict: Verdict
    conditions: tuple[ExplainedCondition, ...]

    @property
    def holds(self) -> bool:
        """Whether the rule holds on any view."""
        return bool(self.conditions[0].views)


def explain(policy: Policy, label_scores: LabelScores) -> tuple[ExplainedRule, ...]:
    """The rules of the policy over the scores of one picture.

    Raises:
        UnavailableError: as :func:`serve_app.policy.evaluate`.
        ValueError: as :func:`serve_app.policy.evaluate`.
    """
    margins = margins_of(policy, label_scores)
    named = {each.name: each.when for each in policy.conditions}
    return tuple(
        ExplainedRule(rule.name, rule.verdict, tuple(_walk(rule.when, margins, named, 0))) for rule in policy.rules
    )


def _walk(
    condition: Condition, margins: Margins, named: dict[str, Condition], depth: int
) -> Iterator[ExplainedCondition]:
    """The condition, and below it what it is made of. A named one is taken apart where it stands first."""
    yield ExplainedCondition(_text(condition), depth, margins.of(condition))
    match condition:
        case Above():
            parts: tuple[Condition, ...] = ()
        case AllOf(of) | AnyOf(of) | AtLeast(_, of):
            parts = of
        case Not(of):
            parts = (of,)
        case Named(name):
            parts = (named.pop(name),) if name in named else ()
        case _:
            assert_never(condition)
    for part in parts:
        yield from _walk(part, margins, named, depth + 1)


def _text(condition: Condition) -> str:
    match condition:
        case Above(concept, threshold, count):
            return f"{concept} above {threshold:g}" + (f" with {count} prompts" if count > 1 else "")
        case AllOf():
            return "all of"
        case AnyOf():
            return "any of"
        case AtLeast(count):
            return f"at least {count} of"
        case Not():
            return "not"
        case Named(name):
            return name
        case _:
            assert_never(condition)
