"""Other servers of CLIP beside ours: the same pictures, one after another server, on the same machine in one run.

Each server is started, asked alone and by connections that never rest, and ended. The peers run in an environment of
their own (docs/benchmarks.md has the recipe), given with ``--python``; one that is not installed there is left out.
All have ViT-B-32 with random weights, in bf16 where they can.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import bare_pass, load
from benchmarks.bare_pass import BarePass
from benchmarks.bodies import photo_like_image
from benchmarks.checks import validity
from benchmarks.command import Only, Out, Run, Seed, chosen, console, give_up
from benchmarks.load import Target
from benchmarks.outcomes import Load, told_percentiles_ms
from benchmarks.processes import memory_bytes
from benchmarks.record import Cell, Check, at_least, at_most, table
from benchmarks.servers import REPOSITORY, NotServedError, Server, Way, ours, running

SERVERS = REPOSITORY / "benchmarks" / "peer_servers"

WIDTH_PX = 1100
QUALITY = 91
_MODEL = "random:ViT-B-32"
_POLICY = ("--policy", str(REPOSITORY / "benchmarks/policies/random-vit-b-32.yaml"))
_WARM_UP_S = 5.0
_REQUESTS = 100

_LOADED = {"alone, p50 ms": 1, "pictures/s": 1, "core-ms a picture": 1}
_COLUMNS = {"server": 0, "version": 0, **_LOADED, "memory (PSS), MB": 0, "ready, s": 1}

SERVED = (
    ours(Way.RAY, "--model", _MODEL, *_POLICY),
    ours(Way.ONE_PROCESS, "--model", _MODEL, *_POLICY),
    # By default mosec gives a request 3 s; pict-rs would wait longer.
    Server("mosec", "mosec", (str(SERVERS / "mosec_server.py"), "--timeout", "30000"), "/inference"),
    Server("LitServe", "litserve", (str(SERVERS / "litserve_server.py"),), "/predict"),
    Server("infinity_emb", "infinity_emb", (str(SERVERS / "infinity_server.py"),), "/scores"),
    Server("openmoderate", "openmoderate", ("-m", "openmoderate.cli", "serve"), "/v1/moderate", form_field="file"),
)


_PEER = "mosec"
_WITHOUT_TORCH = f"{ours(Way.ONE_PROCESS).name}, without torch"

_WANTED: dict[str, tuple[float | None, float, float | None]] = {
    ours(Way.RAY).name: (1.2, 1.0, None),
    ours(Way.ONE_PROCESS).name: (1.6, 0.75, None),
    _WITHOUT_TORCH: (None, 0.6, 800.0),
}
"""Times the peer's pictures/s, its p50 alone, and MB."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one server, in the order of the columns; None where nothing was answered."""

    alone_ms: float | None
    per_s: float
    core_ms: float | None
    memory_mb: int
    ready_s: float


def bench(
    python: Annotated[Path, typer.Option(help="Of the environment of the peers.")] = Path(".venv-peers/bin/python"),
    converted: Annotated[
        Path | None, typer.Option(help="Folder of `pictwarden model convert random:ViT-B-32`: one more row of ours.")
    ] = None,
    only: Only = None,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of their load.")] = 15.0,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure each; exit code 1 if ours is not as much better than mosec as wanted, where both were measured."""
    served = (*SERVED, *([_without_torch(converted)] if converted else []))
    names = chosen((each.name for each in served), only)
    run = Run("peers", seed, out)
    jpeg = photo_like_image(WIDTH_PX, "JPEG", seed, quality=QUALITY)
    rows: list[tuple[Cell, ...]] = []
    by_name: dict[str, Figures] = {}
    left_out: list[str] = []
    measured: list[Load] = []
    for server in (each for each in served if each.name in names):
        interpreter = sys.executable if server.is_ours else str(python)
        version = version_of(interpreter, server.package)
        if version is None:
            left_out.append(f"{server.name} is not installed in {python}.")
            continue
        try:
            with console.status(server.name):
                figures, loads = _measure(server, interpreter, jpeg, duration_s)
        except NotServedError as error:
            left_out.append(f"{server.name}: {error}")
            continue
        rows.append((server.name, version, *astuple(figures)))
        by_name[server.name] = figures
        measured += loads
    if not measured:
        give_up("\n".join(left_out))
    with console.status("the bare pass"):
        best = bare_pass.best_of([bare_pass.measure(BarePass(_MODEL))[0]])[1]
    rows.append(("the bare pass", None, None, best.views_per_s, best.core_ms, None, None))
    note = (
        f"ViT-B-32, random weights; a JPEG of {len(jpeg) / 1e3:.0f} KB, {WIDTH_PX} px wide; pictures/s and core-ms "
        f"with {load.FEWEST_CONNECTIONS} connections that never rest."
    )
    if peers_torch := version_of(str(python), "torch"):
        note += f" The peers' torch is {peers_torch}."
    tables = [table("Servers of CLIP", _COLUMNS, rows, " ".join([note, *left_out]))]
    run.finish("Beside other servers", tables, [*checks_of(by_name), *validity(measured)])


def checks_of(by_name: Mapping[str, Figures]) -> list[Check]:
    """What is wanted beside mosec, the fastest of the others, of those of ours that were measured."""
    peer = by_name.get(_PEER)
    if peer is None:
        return []
    checks = []
    for name, (times_per_s, times_alone, most_mb) in _WANTED.items():
        own = by_name.get(name)
        if own is None:
            continue
        if times_per_s is not None and peer.per_s:
            checks.append(at_least(f"{name} ÷ {_PEER}, pictures/s", own.per_s / peer.per_s, times_per_s, digits=2))
        if peer.alone_ms is not None:
            seen = None if own.alone_ms is None else own.alone_ms / peer.alone_ms
            checks.append(at_most(f"{name} ÷ {_PEER}, alone", seen, times_alone, digits=2))
        if most_mb is not None:
            checks.append(at_most(f"{name}: memory", own.memory_mb, most_mb, "MB"))
    return checks


def version_of(interpreter: str, package: str) -> str | None:
    """Of an installed package in an interpreter's environment; None if it is not there."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    try:
        done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _without_torch(folder: Path) -> Server:
    server = ours(Way.ONE_PROCESS, "--model", str(folder.resolve()), *_POLICY)
    return replace(server, name=_WITHOUT_TORCH)


def _measure(server: Server, interpreter: str, jpeg: bytes, duration_s: float) -> tuple[Figures, list[Load]]:
    """The figures of one server behind its version, and the loads that they are of."""
    with running(server, interpreter) as started:
        target = Target(started.url, lambda: server.body(jpeg), server.content_type, started.process)
        load.at_once(target, load.FEWEST_CONNECTIONS, _WARM_UP_S)
        alone = load.each_in_turn(target, _REQUESTS, name=f"{server.name}, alone")
        busy = load.at_once(target, load.FEWEST_CONNECTIONS, duration_s, server.name)
        memory_mb = int(memory_bytes(started.process) / 1e6)
    # Only Pictwarden says whether it scanned: of the others every 200 counts.
    good = sum(each.status in load.STORED_OR_REJECTED for each in busy.outcomes)
    alone_s = [each.latency_s for each in alone.outcomes if each.status in load.STORED_OR_REJECTED]
    core_ms = 1e3 * sum(busy.service_cpu_s.values()) / good if good else None
    (p50_ms,) = told_percentiles_ms(alone_s, 0.5)
    return Figures(p50_ms, good / busy.elapsed_s, core_ms, memory_mb, started.ready_s), [alone, busy]
