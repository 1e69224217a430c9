"""What Pictwarden takes on a machine: seconds until it answers, and the memory of all of its processes afterwards.

Starts its own service. *Ready* is the time from the start of the first process to the first picture's answer; memory is
the proportional set size (PSS: pages that processes share count once) of all processes, decode workers included, after
so many pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks import load
from benchmarks.bodies import Size, pictures_of
from benchmarks.checks import validity
from benchmarks.command import Out, Run, Seed, console, give_up
from benchmarks.load import Target
from benchmarks.processes import memory_bytes, pss_bytes, tree
from benchmarks.record import at_most, table
from benchmarks.servers import NotServedError, Way, ours, running

_MEMORY = {"memory (PSS), MB": 0, "of the first process, MB": 0}
_COLUMNS = {"Pictwarden": 0, "ready, s": 1, "processes": 0, "pictures": 0, **_MEMORY}

_CONNECTIONS = 8
"""A machine of 8 pictures/s keeps up with so few: none is refused, and batches are formed all the same."""


def bench(
    way: Annotated[Way, typer.Option(help="How it runs.")] = Way.ONE_PROCESS,
    preset: Annotated[
        str, typer.Option(help="As of `pictwarden serve`, unless a model and a policy are given.")
    ] = "demo",
    model: Annotated[str | None, typer.Option(help="As of `pictwarden serve`.")] = None,
    policy: Annotated[Path | None, typer.Option(help="As of `pictwarden serve`: a file.")] = None,
    pictures: Annotated[int, typer.Option(min=1, help="Of 200 KB, sent before memory is measured.")] = 1000,
    memory_mb: Annotated[float | None, typer.Option(min=1, help="The most memory, in MB.")] = None,
    ready_s: Annotated[float | None, typer.Option(min=0.1, help="The longest start, in seconds.")] = None,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if more memory or time was taken than allowed, or a picture was not scanned."""
    run = Run("footprint", seed, out)
    folder = Path(model).resolve() if model and Path(model).is_dir() else model
    own = {"--model": folder, "--policy": policy.resolve() if policy else None}
    given = own if model or policy else {"--preset": preset}
    arguments = [word for option, value in given.items() if value for word in (option, str(value))]
    make_body = pictures_of(Size.KB_200, seed)
    server = ours(way, *arguments)
    try:
        with console.status(server.name), running(server) as started:
            sent = load.each_in_turn(Target(started.url, make_body), pictures, _CONNECTIONS, server.name)
            every = tree(started.process)
            pss_mb, first_mb = memory_bytes(started.process) / 1e6, pss_bytes(started.process) / 1e6
    except NotServedError as error:
        give_up(str(error))
    row = (way, started.ready_s, len(every), sent.scanned, int(pss_mb), int(first_mb))
    checks = [
        at_most("pictures that were not scanned", len(sent.outcomes) - sent.scanned, 0),
        *([at_most("memory of all processes", pss_mb, memory_mb, "MB")] if memory_mb else []),
        *([at_most("ready after", started.ready_s, ready_s, "s", 1)] if ready_s else []),
        *validity([sent]),
    ]
    run.finish("Footprint", [table(model or f"preset {preset}", _COLUMNS, [row])], checks)
