"""Decisions, counted."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from serve_app.domain import Decision, Judged, Listed, Unscanned, Verdict
from serve_app.domain.lists import ListKind

POLICY, LIST = "policy", "list"


class DecisionCounts:
    """Counts decisions. The canary, Pictwarden's test picture, counts in no metric of this class."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._verdicts = Counter(
            "pictwarden_verdicts",
            "Pictures with a verdict. by: policy or list; rule: that of the policy which decided, if one held.",
            ["verdict", "by", "rule", "source", "lane"],
            registry=registry,
        )
        self._unscanned = Counter(
            "pictwarden_unscanned",
            "Pictures that were read and not scanned. stored: whether the image server was told to store them.",
            ["reason", "stored", "source", "lane"],
            registry=registry,
        )
        self._examined = Counter(
            "pictwarden_examined",
            "Pictures whose views were scored. how: scanned, or recalled (the ledger knew the same bytes).",
            ["how", "source"],
            registry=registry,
        )
        self._matches = Counter(
            "pictwarden_list_matches",
            "Pictures that a list knows, by the kind of the entry and how it matched. mode: deciding, or shadow.",
            ["kind", "match", "mode", "source"],
            registry=registry,
        )

    def count(self, decision: Decision) -> None:
        """Count a decision that was answered."""
        if decision.is_canary:
            return
        source, lane = decision.source, decision.lane.value
        match decision.outcome:
            case Judged(judgement=judgement):
                self._verdicts.labels(judgement.verdict.value, POLICY, judgement.rule or "", source, lane).inc()
            case Listed(verdict=verdict):
                self._verdicts.labels(verdict.value, LIST, "", source, lane).inc()
                self._count_match(decision.outcome, "deciding", source)
            case Unscanned(reason=reason):
                stored = "yes" if decision.kept else "no"
                self._unscanned.labels(reason.value, stored, source, lane).inc()
        if decision.examination is not None:
            how = "recalled" if decision.examination.is_recalled else "scanned"
            self._examined.labels(how, source).inc()
        for each in decision.shadow_matches:
            self._count_match(each, "shadow", source)

    def _count_match(self, listed: Listed, mode: str, source: str) -> None:
        kind = ListKind.DENY if listed.verdict is Verdict.REJECT else ListKind.ALLOW
        self._matches.labels(kind.value, listed.match.value, mode, source).inc()
