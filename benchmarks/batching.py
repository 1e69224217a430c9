"""Our batcher beside ``@serve.batch``, on the same arrivals and the same simulated device. No service needed.

The device takes the same time for a batch of any size up to 32 and runs one batch at a time, as a GPU does for small
models. The arrivals are Poisson; each batcher sees exactly the same ones, inside a replica of a local Ray, because
``@serve.batch`` works nowhere else.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import typer

from benchmarks.arrivals import poisson_arrivals_s
from benchmarks.command import OUT, Out, Run, Seed, console
from benchmarks.outcomes import Latencies
from benchmarks.report import Column, Section, Table
from deployments.haproxy.front_end import ray_folder
from deployments.private_folder import private_folder
from deployments.ray_environment import LOCAL_SETTINGS, fresh_token_settings
from serve_app.batching.batcher import Batcher
from serve_app.batching.pass_costs import PassCosts
from serve_app.domain import Call, Deadline

MAX_BATCH = 32
_DEADLINE_S = 1000.0  # nothing is dropped: a queue that diverges is to be seen as one
_WAITS_S = (0.0, 0.01, 0.05)
_COLUMNS = (Column("batcher"), Column("mean batch", 1), Column("p50 ms"), Column("p99 ms"))

Submit = Callable[[int], Awaitable[Any]]
Row = tuple[str, float, float, float]


def bench(
    rate: Annotated[float, typer.Option(min=1, help="Items a second.")] = 100.0,
    pass_s: Annotated[float, typer.Option(min=0.001, help="Seconds a batch, whatever its size.")] = 0.05,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of arrivals for each batcher.")] = 15.0,
    seed: Seed = 1,
    out: Out = OUT,
) -> None:
    """Measure each batcher in turn."""
    run = Run("batching", seed)
    os.environ.update({**LOCAL_SETTINGS, **fresh_token_settings()})
    # Ray reads that environment when it is imported, so this is the first moment at which it may be.
    from ray import serve

    from deployments.local_ray import local_ray

    arrivals_s = poisson_arrivals_s(rate, duration_s, seed)
    with (
        console.status(f"measuring, {(1 + len(_WAITS_S)) * duration_s:.0f} s and more"),
        private_folder() as folder,
        local_ray(ray_folder(folder)),
    ):
        serve.start(proxy_location="Disabled")
        comparison: Any = serve.run(serve.deployment()(Comparison).bind())
        rows: list[Row] = comparison.compare.remote(arrivals_s, pass_s).result()
    note = f"{rate:.0f} items/s, {pass_s * 1e3:.0f} ms a batch."
    run.finish("Batching", [Section("Batchers", note, Table(_COLUMNS, tuple(rows)))], [], out)


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


class Comparison:
    """The deployment in which the batchers run."""

    async def compare(self, arrivals_s: list[float], pass_s: float) -> list[Row]:
        """Each batcher in turn."""
        others = [await _serve_batch(arrivals_s, pass_s, wait_s) for wait_s in _WAITS_S]
        return [await _ours(arrivals_s, pass_s), *others]


async def _ours(arrivals_s: Sequence[float], pass_s: float) -> Row:
    device = Device(pass_s)
    costs = PassCosts({1 << power: pass_s for power in range(6) if 1 << power <= MAX_BATCH})
    batcher: Batcher[int, int] = Batcher(device.run_pass, costs, max_queued_items=1_000_000)
    row = await drive(
        "late binding", lambda item: batcher.submit([item], Call("-", Deadline.after(_DEADLINE_S))), arrivals_s, device
    )
    await batcher.close()
    return row


async def _serve_batch(arrivals_s: Sequence[float], pass_s: float, wait_s: float) -> Row:
    from ray import serve

    device = Device(pass_s)

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=wait_s)
    async def run(items: list[int]) -> list[int]:
        return await device.run_pass(items)

    return await drive(f"@serve.batch, wait {wait_s * 1e3:.0f} ms", run, arrivals_s, device)


async def drive(name: str, submit: Submit, arrivals_s: Sequence[float], device: Device) -> Row:
    """Name, mean batch, and milliseconds at p50 and p99 from the intended moments."""
    started_s = time.perf_counter()
    latencies_s: list[float] = []

    async def one(item: int, intended_s: float) -> None:
        await submit(item)
        latencies_s.append(time.perf_counter() - intended_s)

    async with asyncio.TaskGroup() as waiting:
        for item, arrival_s in enumerate(arrivals_s):
            await asyncio.sleep(started_s + arrival_s - time.perf_counter())
            waiting.create_task(one(item, started_s + arrival_s))
    of = Latencies(latencies_s)
    return name, len(arrivals_s) / len(device.batches), of.percentile_ms(0.5), of.percentile_ms(0.99)
