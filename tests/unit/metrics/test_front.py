"""What a process that answers is asked for, when somebody asks for its page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from serve_app.domain import Call, Deadline, LedgerHealth, PendingDecisions, Unscanned, UnscannedReason
from serve_app.ledger import MemoryLedger
from serve_app.metrics import FrontMetrics, page_app, page_text
from serve_app.policy import Policy
from serve_app.stages import Stage, tell_stage
from tests.unit.metric_samples import labels, samples

if TYPE_CHECKING:
    from tests.unit.conftest import Service

ALONE = labels()


async def test_the_page_tells_of_the_parts_as_they_are(
    make_service: Callable[..., Service],
    metrics: FrontMetrics,
    draw: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    health = LedgerHealth("is full", spooled=3, dropped=2, spool_bytes=999, lag_s=4.5)
    service = make_service(metrics=metrics)
    before = samples(metrics.registry)
    assert before["pictwarden_model_info"] == {labels(name="fake", digest=""): 1}
    assert before["pictwarden_ledger_up"] == {ALONE: 1}
    await service.scan(draw("white"))
    monkeypatch.setattr(service.ledger, "health", lambda: health)
    service.admission.count_arrival(is_authorised=True, refused_before=7)
    with service.admission.inside():
        found = samples(metrics.registry)
    assert found["pictwarden_model_info"] == {labels(name="fake", digest=service.moderator.model.digest[:12]): 1}
    of_the_policy = labels(source="unnamed", name="colours", digest=service.policy.digest[:12])
    assert found["pictwarden_policy_info"] == {of_the_policy: 1}
    assert found["pictwarden_pictures_inside"] == {ALONE: 1}
    assert found["pictwarden_refused_total"] == {labels(source="unnamed"): 0}
    assert found["pictwarden_refused_by_front_end_total"] == {ALONE: 7}
    assert {name: found[f"pictwarden_ledger_{name}"][ALONE] for name in ("up", "spooled_decisions", "spool_bytes")} == {
        "up": 0,
        "spooled_decisions": 3,
        "spool_bytes": 999,
    }
    assert found["pictwarden_ledger_lag_seconds"] == {ALONE: 4.5}
    assert found["pictwarden_ledger_lost_total"] == {ALONE: 2}
    assert found["pictwarden_lists_suspended_entries"] == {ALONE: 0}


async def test_the_page_names_the_policy_of_each_source(
    make_service: Callable[..., Service], make_policy: Callable[..., Policy], metrics: FrontMetrics
) -> None:
    own = make_policy(colours="own-colours")
    keys = {"secrets_env": "SECRETS", "policy": "own-colours.yaml"}
    service = make_service(
        metrics=metrics, of_sources={"own": own}, sources={"own": keys, "as-the-service": {"secrets_env": "OTHERS"}}
    )
    assert own.digest != service.policy.digest
    of_service = {"name": "colours", "digest": service.policy.digest[:12]}
    assert samples(metrics.registry)["pictwarden_policy_info"] == {
        labels(source="unnamed", **of_service): 1,
        labels(source="as-the-service", **of_service): 1,
        labels(source="own", name="own-colours", digest=own.digest[:12]): 1,
    }


async def test_a_full_service_is_told(make_service: Callable[..., Service], metrics: FrontMetrics) -> None:
    service = make_service(metrics=metrics)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(service.admission), "limit", 0)
        await service.scan(b"never read")
    found = samples(metrics.registry)
    assert found["pictwarden_refused_total"] == {labels(source="unnamed"): 1}
    assert found["pictwarden_answers_total"] == {labels(route="scan", status="503"): 1}
    assert "pictwarden_answer_seconds_count" not in found, "it was not read: its answer took no time"


async def test_pending_pictures_are_counted_with_the_age_of_the_oldest(
    make_service: Callable[..., Service],
    metrics: FrontMetrics,
    draw: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger, service = MemoryLedger(), make_service(metrics=metrics)
    assert "pictwarden_pending_pictures" not in samples(metrics.registry), "nobody has counted yet"
    await metrics.count_pending(ledger)
    assert samples(metrics.registry)["pictwarden_pending_oldest_seconds"] == {ALONE: 0}
    await service.scan(draw("white"))
    (decision,) = service.ledger.recorded
    unscanned = Unscanned(UnscannedReason.OVERLOADED, "later")
    for number in range(3):
        at = datetime.now(UTC) - timedelta(hours=number)
        pending = dataclasses.replace(decision, request_id=f"r-{number}", outcome=unscanned, decided_at=at)
        await ledger.record(dataclasses.replace(pending, examination=None))
    await metrics.count_pending(ledger)
    found = samples(metrics.registry)
    assert found["pictwarden_pending_pictures"] == {ALONE: 3}
    assert found["pictwarden_pending_oldest_seconds"][ALONE] == pytest.approx(7200, abs=60)

    async def fails() -> PendingDecisions:
        raise OSError("away")

    monkeypatch.setattr(ledger, "pending_count", fails)
    await metrics.count_pending(ledger)
    assert "pictwarden_pending_pictures" not in samples(metrics.registry), "an old count is none"


def test_stages_are_timed_until_the_end() -> None:
    metrics = FrontMetrics()
    call = Call("r-1", Deadline.after(8.0))
    tell_stage(Stage.DECODE, call, 100.0, 108.2)
    name = "pictwarden_stage_seconds_bucket"
    decode = {"stage": "decode", "lane": "live"}
    buckets = samples(metrics.registry)[name]
    assert [buckets[labels(**decode, le=le)] for le in ("7.0", "8.0", "8.5", "10.0", "+Inf")] == [0, 0, 1, 1, 1]
    metrics.close()
    tell_stage(Stage.DECODE, call, 100.0, 101.0)
    assert samples(metrics.registry)[name] == buckets


def test_the_page_does_not_tell_when_each_series_was_made(metrics: FrontMetrics) -> None:
    metrics.answers.answered("scan", 200, Call("r", Deadline.after(1.0)).lane, 0.1)
    assert b"pictwarden_answers_total{" in page_text(metrics.registry)
    assert b"_created" not in page_text(metrics.registry)


@pytest.mark.parametrize(("path", "status"), [("/metrics", 200), ("/readyz", 404), ("/", 404), ("/metrics/x", 404)])
async def test_the_page_has_one_path(metrics: FrontMetrics, path: str, status: int) -> None:
    transport = httpx.ASGITransport(page_app(lambda: page_text(metrics.registry)))
    async with httpx.AsyncClient(transport=transport, base_url="http://metrics", trust_env=False) as client:
        answer = await client.get(path)
    assert (answer.status_code, "pictwarden" in answer.text) == (status, status == 200)
