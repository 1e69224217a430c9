"""``make bench-transport``: a body from one replica to another, by value in the message and through the object store.

One call after another over a deployment handle, with the settings of ``make run``; the receiver reads the length. What
is measured is the time of one hop there and back.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import hardware
from deployments.ray_environment import (
    FAST_SETTINGS,
    LOCAL_SETTINGS,
    fresh_token_settings,
    message_settings,
    own_port_settings,
)

# One view of 64 px and of 224 px, a picture from the web, a photograph, the largest body.
_SIZES_BYTES = (12_288, 150_528, 200_000, 2_000_000, 64_000_000)

console = Console(highlight=False)


def bench(calls: Annotated[int, typer.Option(min=10, help="Of each size and way.")] = 200) -> None:
    """Measure each size both ways, in turn."""
    console.print(f"{hardware.describe()}; {calls} calls each, fewer of the largest")
    os.environ.update({**FAST_SETTINGS, **LOCAL_SETTINGS, **fresh_token_settings(), **own_port_settings()})
    os.environ.update(message_settings(max(_SIZES_BYTES)))
    # Ray reads that environment when it is imported, so this is the first moment at which it may be.
    from benchmarks.hops import compare_on_local_ray

    table = Table(box=None, pad_edge=False)
    table.add_column("bytes")
    for heading in ("by value, p50 ms", "p99 ms", "through the store, p50 ms", "p99 ms"):
        table.add_column(heading, justify="right")
    with console.status("measuring"):
        for size_bytes, by_value, through_store in compare_on_local_ray(_SIZES_BYTES, calls):
            times = (way.percentile_ms(share) for way in (by_value, through_store) for share in (0.5, 0.99))
            table.add_row(f"{size_bytes:,}", *(f"{each:.2f}" for each in times))
    console.print(table)


if __name__ == "__main__":
    typer.run(bench)
