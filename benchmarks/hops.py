"""One hop between two replicas of a local Ray, by value and through the object store.

This module imports ray: the command (:mod:`benchmarks.transport`) imports it when the environment of the Ray processes
is set.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray import serve
from ray.serve.handle import DeploymentHandle

from benchmarks.statistics import Latencies
from deployments.haproxy.front_end import ray_folder
from deployments.local_ray import local_ray
from deployments.private_folder import private_folder

_WARM_UP_CALLS = 20
_MOST_BYTES = 2_000_000_000  # of all calls of one size and way together


class Receiver:
    """Reads how long a body is."""

    async def receive(self, body: bytes) -> int:
        """Its length."""
        return len(body)


class Sender:
    """Calls the receiver, as the ingress calls a preprocessor."""

    def __init__(self, receiver: DeploymentHandle[Any]) -> None:
        self._receiver = receiver

    async def measure(self, size_bytes: int, calls: int, through_store: bool) -> list[float]:
        """Seconds of each call."""
        body = bytes(size_bytes)
        seconds = []
        for _ in range(calls):
            started_s = time.perf_counter()
            # A reference as an argument is resolved before the receiver's method is entered.
            received = await self._receiver.receive.remote(ray.put(body) if through_store else body)
            seconds.append(time.perf_counter() - started_s)
            if received != size_bytes:
                raise RuntimeError(f"{size_bytes} bytes were sent and {received} came")
        return seconds


def compare_on_local_ray(sizes_bytes: Sequence[int], calls: int) -> list[tuple[int, Latencies, Latencies]]:
    """For each size: by value, and through the store."""
    with private_folder() as folder, local_ray(ray_folder(folder)):
        serve.start(proxy_location="Disabled")
        receiver = serve.deployment(max_ongoing_requests=64)(Receiver)
        sender = serve.run(serve.deployment(max_ongoing_requests=64)(Sender).bind(receiver.bind()))
        return asyncio.run(_compare(sender, sizes_bytes, calls))


async def _compare(
    sender: DeploymentHandle[Any], sizes_bytes: Sequence[int], calls: int
) -> list[tuple[int, Latencies, Latencies]]:
    async def measure(size_bytes: int, through_store: bool) -> Latencies:
        count = max(10, min(calls, _MOST_BYTES // size_bytes))
        seconds = await sender.measure.remote(size_bytes, count + _WARM_UP_CALLS, through_store)
        return Latencies(seconds[_WARM_UP_CALLS:])

    return [(size, await measure(size, False), await measure(size, True)) for size in sizes_bytes]
