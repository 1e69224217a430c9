"""Every answer to a sender of pictures is counted once, whatever becomes of the request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from serve_app.metrics import FrontMetrics
from tests.unit.metric_samples import labels, samples

if TYPE_CHECKING:
    from tests.unit.conftest import Service


@pytest.fixture
def watched(make_service: Callable[..., Service], metrics: FrontMetrics) -> Service:
    return make_service(metrics=metrics)


def counted(metrics: FrontMetrics) -> dict[Any, float]:
    return samples(metrics.registry).get("pictwarden_answers_total", {})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/scan/secret", 405),
        ("POST", "/api/v1/scan/wrong-secret", 401),
        ("POST", "/api/v1/scan", 401),
        ("POST", "/api/v1/scan/a/b", 404),
    ],
)
async def test_refusals_are_counted_and_not_timed(
    watched: Service, metrics: FrontMetrics, method: str, path: str, status: int
) -> None:
    assert (await watched.request(method, path, content=b"x" if method == "POST" else None)).status_code == status
    assert counted(metrics) == {labels(route="scan", status=str(status)): 1}
    assert "pictwarden_answer_seconds_count" not in samples(metrics.registry)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/nowhere", "/api/v1/scanner"])
async def test_other_paths_are_nobodys_business(watched: Service, metrics: FrontMetrics, path: str) -> None:
    await watched.request("GET", path)
    assert counted(metrics) == {}


async def test_a_fault_of_ours_is_an_answer_too(
    watched: Service, metrics: FrontMetrics, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(watched.moderator, "moderate", fails)
    assert (await watched.scan(draw())).status_code == 500
    assert counted(metrics) == {labels(route="scan", status="500"): 1}


@pytest.mark.parametrize(
    ("sent", "lane"), [(None, "live"), ("background", "background"), (" Background ", "background")]
)
async def test_an_answer_is_timed_in_its_lane(
    watched: Service, metrics: FrontMetrics, draw: Callable[..., bytes], sent: str | None, lane: str
) -> None:
    await watched.scan(draw(), headers={"X-Pictwarden-Lane": sent} if sent else {})
    assert samples(metrics.registry)["pictwarden_answer_seconds_count"] == {labels(route="scan", lane=lane): 1}
