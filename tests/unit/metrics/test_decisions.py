"""What is counted of pictures, through the real use case and its HTTP front."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    Lane,
    Listed,
    ListMatch,
    OverloadedError,
    Unscanned,
    UnscannedReason,
    Verdict,
)
from serve_app.metrics import FrontMetrics
from tests.unit.conftest import secret_of
from tests.unit.metric_samples import labels, samples

if TYPE_CHECKING:
    from tests.unit.conftest import Service

RED, GREEN = (255, 0, 0), (0, 255, 0)


@pytest.fixture
def watched(make_service: Callable[..., Service], metrics: FrontMetrics) -> Service:
    return make_service(metrics=metrics)


def live(**values: str) -> tuple[tuple[str, str], ...]:
    return labels(**values, source="unnamed", lane="live")


async def test_verdicts_are_counted_by_their_rule(
    watched: Service, metrics: FrontMetrics, draw: Callable[..., bytes]
) -> None:
    for content in (draw("white"), draw(RED), draw(RED), draw(GREEN)):
        await watched.scan(content)
    found = samples(metrics.registry)
    assert found["pictwarden_verdicts_total"] == {
        live(verdict="accept", by="policy", rule=""): 1,
        live(verdict="reject", by="policy", rule="no-red"): 2,
        live(verdict="flag", by="policy", rule="look-at-green"): 1,
    }
    assert found["pictwarden_examined_total"] == {
        labels(how="scanned", source="unnamed"): 3,
        labels(how="recalled", source="unnamed"): 1,
    }
    assert found["pictwarden_answers_total"] == {
        labels(route="scan", status="200"): 2,
        labels(route="scan", status="406"): 2,
    }


async def test_unscanned_pictures_are_counted_by_reason_and_source(
    watched: Service, metrics: FrontMetrics, draw: Callable[..., bytes]
) -> None:
    await watched.scan(b"\x89PNG\r\n\x1a\n and no more")
    watched.scorer.fault = OverloadedError("later")
    call = Call("r-1", Deadline.after(8.0), Lane.BACKGROUND, "rescan")
    await watched.moderator.moderate(Body.of(draw("white")), call)
    assert samples(metrics.registry)["pictwarden_unscanned_total"] == {
        live(reason="truncated", stored="no"): 1,
        labels(reason="overloaded", stored="no", source="rescan", lane="background"): 1,
    }


async def test_a_picture_on_a_list_is_counted_as_a_verdict_and_as_a_match(
    watched: Service, metrics: FrontMetrics, draw: Callable[..., bytes]
) -> None:
    await watched.scan(draw("white"))
    known = Listed(Verdict.REJECT, "spam", "1", "known")
    like_it = Listed(Verdict.ACCEPT, "trial", "2", "known", ListMatch.PERCEPTUAL, 3, 0)
    (decision,) = watched.ledger.recorded
    metrics.decisions.count(dataclasses.replace(decision, outcome=known, shadow_matches=(like_it,)))
    found = samples(metrics.registry)
    assert found["pictwarden_verdicts_total"][live(verdict="reject", by="list", rule="")] == 1
    assert found["pictwarden_list_matches_total"] == {
        labels(kind="deny", match="exact", mode="deciding", source="unnamed"): 1,
        labels(kind="allow", match="perceptual", mode="shadow", source="unnamed"): 1,
    }


async def test_each_count_of_decisions_names_the_source(
    make_service: Callable[..., Service], metrics: FrontMetrics, draw: Callable[..., bytes]
) -> None:
    service = make_service(metrics=metrics, sources={"lemmy-a": {"secrets_env": "SECRETS_A"}})
    await service.scan(draw("white"), f"/api/v1/scan/{secret_of('lemmy-a')}")
    (decision,) = service.ledger.recorded
    metrics.decisions.count(dataclasses.replace(decision, outcome=Listed(Verdict.REJECT, "spam", "1", "known")))
    metrics.decisions.count(
        dataclasses.replace(decision, outcome=Unscanned(UnscannedReason.OVERLOADED, "later"), examination=None)
    )
    found = samples(metrics.registry)
    for name in ("verdicts", "unscanned", "examined", "list_matches"):
        assert {dict(each)["source"] for each in found[f"pictwarden_{name}_total"]} == {"lemmy-a"}, name


async def test_the_canary_counts_in_no_statistic(
    watched: Service, metrics: FrontMetrics, draw: Callable[..., bytes]
) -> None:
    await watched.scan(draw("white"))
    before = samples(metrics.registry)
    (decision,) = watched.ledger.recorded
    metrics.decisions.count(dataclasses.replace(decision, outcome=Listed(Verdict.REJECT, "canary", "1", "it")))
    assert samples(metrics.registry) == before


async def test_without_metrics_nothing_is_counted(
    make_service: Callable[..., Service], metrics: FrontMetrics, draw: Callable[..., bytes]
) -> None:
    await make_service().scan(draw("white"))
    assert "pictwarden_verdicts_total" not in samples(metrics.registry)
