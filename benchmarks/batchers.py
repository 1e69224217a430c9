"""Our batcher and ``@serve.batch`` on the same arrivals and the same simulated device.

They run inside a replica of a local Ray, because ``@serve.batch`` works nowhere else. This module imports ray: the
command (:mod:`benchmarks.batching`) imports it when the environment of the Ray processes is set.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ray import serve

from benchmarks.statistics import Latencies
from deployments.haproxy.front_end import ray_folder
from deployments.local_ray import local_ray
from deployments.private_folder import private_folder
from serve_app.batching.batcher import Batcher
from serve_app.batching.pass_costs import PassCosts
from serve_app.domain import Call, Deadline

MAX_BATCH = 32
_DEADLINE_S = 1000.0  # nothing is dropped: a queue that diverges is to be seen as one

Submit = Callable[[int], Awaitable[Any]]


class Device:
    """One batch at a time, each in ``pass_s`` seconds."""

    def __init__(self, pass_s: float) -> None:
        self._pass_s = pass_s
        self._is_busy = asyncio.Lock()
        self.batches: list[int] = []

    async def run_pass(self, items: Sequence[int]) -> list[int]:
        """As long as the device takes."""
        async with self._is_busy:
            self.batches.append(len(items))
            await asyncio.sleep(self._pass_s)
        return list(items)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one batcher did."""

    name: str
    mean_batch: float
    p50_ms: float
    p99_ms: float


def compare_on_local_ray(arrivals_s: Sequence[float], pass_s: float) -> list[Outcome]:
    """Start Ray, let each batcher have the same arrivals in turn, end Ray."""
    with private_folder() as folder, local_ray(ray_folder(folder)):
        serve.start(proxy_location="Disabled")
        comparison = serve.run(serve.deployment()(Comparison).bind())
        outcomes: list[Outcome] = comparison.compare.remote(list(arrivals_s), pass_s).result()
        return outcomes


class Comparison:
    """The deployment in which the batchers run."""

    async def compare(self, arrivals_s: list[float], pass_s: float) -> list[Outcome]:
        """Each batcher in turn."""
        waits_s = (0.0, 0.01, 0.05)
        return [
            await _ours(arrivals_s, pass_s),
            *[await _serve_batch(arrivals_s, pass_s, wait_s) for wait_s in waits_s],
        ]


async def _ours(arrivals_s: Sequence[float], pass_s: float) -> Outcome:
    device = Device(pass_s)
    costs = PassCosts({1 << power: pass_s for power in range(6) if 1 << power <= MAX_BATCH})
    batcher: Batcher[int, int] = Batcher(device.run_pass, costs, max_queued_items=1_000_000)
    outcome = await _drive(
        "late binding", lambda item: batcher.submit([item], Call("-", Deadline.after(_DEADLINE_S))), arrivals_s, device
    )
    await batcher.close()
    return outcome


async def _serve_batch(arrivals_s: Sequence[float], pass_s: float, wait_s: float) -> Outcome:
    device = Device(pass_s)

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=wait_s)
    async def run(items: list[int]) -> list[int]:
        return await device.run_pass(items)

    return await _drive(f"@serve.batch, wait {wait_s * 1e3:.0f} ms", run, arrivals_s, device)


async def _drive(name: str, submit: Submit, arrivals_s: Sequence[float], device: Device) -> Outcome:
    started_s = time.perf_counter()
    latencies_s: list[float] = []

    async def one(item: int, intended_s: float) -> None:
        await submit(item)
        latencies_s.append(time.perf_counter() - intended_s)

    waiting = []
    for item, arrival_s in enumerate(arrivals_s):
        await asyncio.sleep(started_s + arrival_s - time.perf_counter())
        waiting.append(asyncio.create_task(one(item, started_s + arrival_s)))
    await asyncio.gather(*waiting)
    of = Latencies(latencies_s)
    return Outcome(name, len(arrivals_s) / len(device.batches), of.percentile_ms(0.5), of.percentile_ms(0.99))
