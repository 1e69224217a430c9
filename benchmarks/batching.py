"""``make bench-batching``: our batcher beside ``@serve.batch``, on the same arrivals and the same simulated device.

The device takes the same time for a batch of any size up to 32 and runs one batch at a time, as a GPU does for small
models. The arrivals are Poisson; each batcher sees exactly the same ones.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import hardware
from benchmarks.arrivals import poisson_arrivals_s
from deployments.ray_environment import LOCAL_SETTINGS, fresh_token_settings

console = Console(highlight=False)


def bench(
    rate: Annotated[float, typer.Option(min=1, help="Items a second.")] = 100.0,
    pass_s: Annotated[float, typer.Option(min=0.001, help="Seconds a batch, whatever its size.")] = 0.05,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of arrivals for each batcher.")] = 15.0,
    seed: Annotated[int, typer.Option(help="Of the arrivals.")] = 1,
) -> None:
    """Measure each batcher in turn."""
    console.print(f"{hardware.describe()}; {rate:.0f} items/s, {pass_s * 1e3:.0f} ms a batch; seed {seed}")
    os.environ.update({**LOCAL_SETTINGS, **fresh_token_settings()})
    # Ray reads that environment when it is imported, so this is the first moment at which it may be.
    from benchmarks.batchers import compare_on_local_ray

    with console.status(f"measuring, {4 * duration_s:.0f} s and more"):
        outcomes = compare_on_local_ray(poisson_arrivals_s(rate, duration_s, seed), pass_s)
    table = Table(box=None, pad_edge=False)
    table.add_column("batcher")
    for heading in ("mean batch", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right")
    for each in outcomes:
        table.add_row(each.name, f"{each.mean_batch:.1f}", f"{each.p50_ms:.0f}", f"{each.p99_ms:.0f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(bench)
