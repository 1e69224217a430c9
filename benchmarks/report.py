"""Draws the tables of docs/performance.md from benchmarks/results; with ``--measure``, measures them anew.

The prose of the page is its own. A record's place is between two comments, ``<!-- record NAME -->`` and
``<!-- end -->``, and everything between them is replaced. A record that was not measured at this commit keeps the date,
the machine and the commit that it was measured at.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import hardware
from benchmarks.command import Only, chosen, console, started_with
from benchmarks.record import Record
from benchmarks.servers import REPOSITORY, STARTS, NotServedError, Way, ours, running
from serve_app.cli.local_service import URL_ENV

PAGE = REPOSITORY / "docs" / "performance.md"
RESULTS = REPOSITORY / "benchmarks" / "results"

_PLACE = re.compile(r"(<!-- record ([a-z0-9-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Planned:
    """How a record is measured.

    Attributes:
        name: of the record.
        command: behind ``python -m benchmarks``.
        minutes: that it takes on two cores, about.
        service: how the service that it loads runs, and with what; None where it starts its own, or needs none.
        needs_gpu: whether it is measured only where there is one, or where it is named.
    """

    name: str
    command: str
    minutes: float
    service: tuple[Way, str] | None = None
    needs_gpu: bool = False


_VIT = "--model random:ViT-B-32 --policy benchmarks/policies/random-vit-b-32.yaml"
_DEMO_ONE, _DEMO_RAY = (Way.ONE_PROCESS, "--preset demo"), (Way.RAY, "--preset demo")
_VIT_ONE, _VIT_RAY = (Way.ONE_PROCESS, _VIT), (Way.RAY, _VIT)
_LARGE = "--model random:ViT-L-14 --policy benchmarks/policies/random-vit-l-14.yaml"
_GPU_ONE, _GPU_RAY = (Way.ONE_PROCESS, _LARGE), (Way.RAY, f"--config benchmarks/gpu.yaml {_LARGE}")

PLAN = (
    Planned("peers", "peers", 5),
    Planned("footprint-one-process", "footprint --memory-mb 700 --ready-s 5", 0.5),
    Planned("footprint-ray", "footprint --way ray", 1),
    Planned("quick-one-process", "quick", 1.5, _DEMO_ONE),
    Planned("quick-ray", "quick", 1.5, _DEMO_RAY),
    Planned("footprint-starter", "footprint --preset starter", 0.5),
    Planned("quick-nsfw", "quick", 1.5, (Way.ONE_PROCESS, "--preset nsfw")),
    # 7 and 12 before fingerprints and the ledger, which may add 2.5.
    Planned("capacity-one-process", "capacity --around-ms 9.5", 3, _VIT_ONE),
    Planned("capacity-ray", "capacity --around-ms 14.5 --least-efficiency 0.7", 3, _VIT_RAY),
    Planned("latency-one-process", "latency --size 200KB", 3.5, _VIT_ONE),
    Planned("latency-ray", "latency --size 200KB", 3.5, _VIT_RAY),
    Planned("overload-one-process", "overload", 3.5, _VIT_ONE),
    Planned("overload-ray", "overload", 3.5, _VIT_RAY),
    Planned(
        "capacity-gpu-one-process", "capacity --connections 64 --least-efficiency 0.7", 1.5, _GPU_ONE, needs_gpu=True
    ),
    Planned("capacity-gpu-ray", "capacity --connections 128 --least-efficiency 0.7", 1.5, _GPU_RAY, needs_gpu=True),
    Planned("quick-gpu-one-process", "quick", 1.5, _GPU_ONE, needs_gpu=True),
    Planned("quick-gpu-ray", "quick", 1.5, _GPU_RAY, needs_gpu=True),
    Planned("flood-one-process", "flood", 0.5, _DEMO_ONE),
    Planned("flood-ray", "flood", 0.5, _DEMO_RAY),
    Planned("sources", "sources --duration-s 60", 3),
    Planned("sources-ray", "sources --way ray --duration-s 60", 3.5),
    Planned("faults", "faults", 6),
    Planned("upgrade", "upgrade", 10),
    Planned("decisions", "decisions", 10),
    Planned("hunt", "hunt", 8),
    Planned("storage", "storage", 8),
    Planned("storage-uploads", "storage_uploads", 7),
    Planned("storage-uploads-ray", "storage_uploads --way ray", 8),
    Planned("remote", "remote", 6),
    Planned("metrics-one-process", "metrics", 1.5),
    Planned("metrics-ray", "metrics --way ray", 2),
    Planned("pictrs", "pictrs", 1.5),
    Planned("cluster", "cluster", 2),
    Planned("remote-simulation", "remote_simulation", 20),
    Planned("engines", "engines", 6),
    Planned("preprocessing", "preprocessing", 1),
    Planned("decode-agreement", "decode_agreement --pictures 2000", 4),
)


def bench(
    measure: Annotated[bool, typer.Option(help="Measure anew first, starting what each record needs.")] = False,
    only: Only = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be measured, and nothing else.")] = False,
) -> None:
    """Draw the page; exit code 1 if a measurement could not be made, or a check of one did not hold."""
    names = chosen((each.name for each in PLAN), only)
    is_possible = bool(only) or "gpu" in hardware.facts()
    planned = [each for each in PLAN if each.name in names and (is_possible or not each.needs_gpu)]
    if plan:
        for each in planned:
            console.print(f"{each.name.ljust(24)}{each.minutes:4.1f} min  {shown(each)}", soft_wrap=True)
        return
    failed = [each.name for each in planned if measure and not measured(each)]
    PAGE.write_text(render(PAGE.read_text("utf-8"), records(RESULTS)), "utf-8")
    if failed:
        console.print(f"not measured, or a check did not hold: {', '.join(failed)}")
        raise typer.Exit(1)


def shown(planned: Planned) -> str:
    """How a person does the same by hand."""
    command = f"python -m benchmarks {planned.command} --out benchmarks/results/{planned.name}.json"
    if planned.service is None:
        return command
    way, arguments = planned.service
    return f"{started_with(['python', *STARTS[way], *arguments.split()])}, then {command}"


def measured(planned: Planned) -> bool:
    """Measure one record, in a process of its own; whether it was measured, and its checks hold."""
    console.print(f"\n{planned.name}: about {planned.minutes:g} minutes", style="bold")
    out = RESULTS / f"{planned.name}.json"
    command = [sys.executable, "-m", "benchmarks", *planned.command.split(), "--out", str(out)]
    environment = dict(os.environ)
    with contextlib.ExitStack() as ended:
        if planned.service is not None:
            way, arguments = planned.service
            # A server's working directory is one of its own.
            words = (str(REPOSITORY / word) if word.startswith("benchmarks/") else word for word in arguments.split())
            try:
                service = ended.enter_context(running(ours(way, *words)))
            except NotServedError as error:
                console.print(str(error), markup=False)
                return False
            environment[URL_ENV] = service.url
        return subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode == 0


def records(folder: Path) -> dict[str, Record]:
    """The records in a folder, by the names of their files."""
    return {file.stem: Record.of_json(file.read_text("utf-8")) for file in sorted(folder.glob("*.json"))}


def render(page: str, by_name: dict[str, Record]) -> str:
    """``page`` with the tables of each record in its place; a place without a record says how to measure it."""

    def place(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        record = by_name.get(name)
        body = block(record) if record else f'Not measured yet: `make bench-report ARGS="--measure --only {name}"`.'
        return f"{begin}{body}\n{end}"

    return _PLACE.sub(place, page)


def block(record: Record) -> str:
    """A record as the page shows it: its tables, its checks, and how, when and where it was measured."""
    how = f"`{record.command}`" + (f" on `{record.service}`" if record.service else "")
    others = record.machine.get("others during the run")
    busy = f"; others used {others} meanwhile" if others else ""
    when = f"{record.measured_at.day} {record.measured_at:%B %Y}"
    return f"{record.markdown()}\n\n{when}: {how}. {hardware.describe(record.machine)}{busy}."
