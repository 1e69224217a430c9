"""Other servers of CLIP beside ours: the same pictures, one after another server, on the same machine in one run.

Each server is started, asked alone and by connections that never rest, and ended. The peers run in an environment of
their own (docs/benchmarks.md has the recipe), given with ``--python``; one that is not installed there is left out.
All have ViT-B-32 with random weights, in bf16 where they can.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer

from benchmarks import bare_pass, load
from benchmarks.bare_pass import EngineOptions
from benchmarks.bodies import photo_like_image, unique
from benchmarks.checks import Measured, validity
from benchmarks.command import OUT, Out, Run, Seed, console
from benchmarks.outcomes import Latencies, Load
from benchmarks.processes import cpu_s, memory_bytes, tree
from benchmarks.report import Cell, Column, Section, Table
from deployments.ray_environment import free_ports
from serve_app.cli.connection import SECRETS_ENV
from serve_app.wire import SCAN_PATH

REPOSITORY = Path(__file__).parents[1]
SERVERS = REPOSITORY / "benchmarks" / "peer_servers"

WIDTH_PX = 1100
QUALITY = 91
_MODEL = ("--model", "random:ViT-B-32", "--policy", str(REPOSITORY / "benchmarks/policies/random-vit-b-32.yaml"))
_READY_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 60.0
_POLL_S = 0.5
_WARM_UP_S = 5.0
_RANDOM = {"HF_HUB_OFFLINE": "1", "OPENMODERATE_PRETRAINED": "", "DO_NOT_TRACK": "1"}
_BOUNDARY = "pictwarden-benchmark"

_COLUMNS = (
    Column("server"),
    Column("version"),
    Column("alone, p50 ms", 1),
    Column("pictures/s", 1),
    Column("core-ms a picture", 1),
    Column("memory (PSS), MB"),
    Column("ready, s", 1),
)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that this command starts.

    Attributes:
        name: in the table.
        package: whose version is told.
        command: without the interpreter and ``--port``.
        path: where pictures are sent.
        is_ours: whether it runs in this environment and not in that of the peers.
        form_field: of the form that it wants a picture in; by default the body is the picture.
    """

    name: str
    package: str
    command: tuple[str, ...]
    path: str
    is_ours: bool = False
    form_field: str | None = None

    @property
    def content_type(self) -> str:
        """Of its bodies."""
        return f"multipart/form-data; boundary={_BOUNDARY}" if self.form_field else "image/jpeg"

    def body(self, jpeg: bytes) -> bytes:
        """A picture that it has not seen, as it wants it."""
        if not self.form_field:
            return unique(jpeg)
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{self.form_field}"; filename="a.jpg"\r\n\r\n'
        return head.encode() + unique(jpeg) + f"\r\n--{_BOUNDARY}--\r\n".encode()


SERVED = (
    Server("Pictwarden on Ray Serve", "pictwarden", ("-m", "deployments.run", *_MODEL), SCAN_PATH, True),
    Server("Pictwarden in one process", "pictwarden", ("-m", "serve_app.cli", "serve", *_MODEL), SCAN_PATH, True),
    # By default mosec gives a request 3 s; pict-rs would wait longer.
    Server("mosec", "mosec", (str(SERVERS / "mosec_server.py"), "--timeout", "30000"), "/inference"),
    Server("LitServe", "litserve", (str(SERVERS / "litserve_server.py"),), "/predict"),
    Server("infinity_emb", "infinity_emb", (str(SERVERS / "infinity_server.py"),), "/scores"),
    Server("openmoderate", "openmoderate", ("-m", "openmoderate.cli", "serve"), "/v1/moderate", form_field="file"),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one server did."""

    alone: Load
    busy: Load
    cpu_s: float
    memory_bytes: int
    ready_s: float


class NotServedError(Exception):
    """A server did not start; the message has the end of what it said."""


def bench(
    python: Annotated[Path, typer.Option(help="Of the environment of the peers.")] = Path(".venv-peers/bin/python"),
    only: Annotated[list[str] | None, typer.Option(help="The beginning of a server's name; repeatable.")] = None,
    requests: Annotated[int, typer.Option(min=10, help="Pictures, one after another.")] = 100,
    connections: Annotated[int, typer.Option(min=1, help="That never rest.")] = load.FEWEST_CONNECTIONS,
    duration_s: Annotated[float, typer.Option(min=1, help="Seconds of their load.")] = 15.0,
    seed: Seed = 1,
    out: Out = OUT,
) -> None:
    """Measure each; exit code 1 if the generator did not keep up: nobody wins or loses by a check."""
    run = Run("peers", seed)
    jpeg = photo_like_image(WIDTH_PX, "JPEG", seed, quality=QUALITY)
    rows: list[tuple[Cell, ...]] = []
    left_out: list[str] = []
    measured: list[Measured] = []
    for server in SERVED:
        interpreter = sys.executable if server.is_ours else str(python)
        version = version_of(interpreter, server.package)
        if only and not any(server.name.lower().startswith(each.lower()) for each in only):
            continue
        if version is None:
            left_out.append(f"{server.name} is not installed in {python}.")
            continue
        with console.status(server.name) as status:
            try:
                seen = _measure(server, interpreter, jpeg, requests, connections, duration_s)
            except NotServedError as error:
                left_out.append(f"{server.name}: {error}")
                continue
            finally:
                status.stop()
        rows.append(_row(server, version, seen))
        measured += [Measured(f"{server.name}, alone", seen.alone), Measured(server.name, seen.busy)]
    if not measured:
        console.print("\n".join(left_out), markup=False)
        raise typer.Exit(2)
    with console.status("the bare pass"):
        best = bare_pass.best_of([bare_pass.measure(EngineOptions("random:ViT-B-32", "auto", "auto"), {})])[1]
    rows.append(("the bare pass", None, None, best.views_per_s, best.core_ms, None, None))
    facts = {f"torch of {each}": version_of(each, "torch") or "-" for each in (sys.executable, str(python))}
    note = (
        f"ViT-B-32, random weights; a JPEG of {len(jpeg) / 1e3:.0f} KB, {WIDTH_PX} px wide; pictures/s and core-ms "
        f"with {connections} connections that never rest. {' '.join(left_out)}"
    )
    section = Section("Servers of CLIP", note, Table(_COLUMNS, tuple(rows)))
    run.finish("Beside other servers", [section], validity(measured), out, facts)


def version_of(interpreter: str, package: str) -> str | None:
    """Of an installed package in an interpreter's environment; None if it is not there."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    try:
        done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


@contextlib.contextmanager
def running(server: Server, interpreter: str) -> Iterator[tuple[str, psutil.Popen, Callable[[], str]]]:
    """The server's URL, its first process, and what it has said last; its whole tree ends with the block."""
    (port,), secret = free_ports(1), secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="pw-peer-", ignore_cleanup_errors=True) as folder:
        said = Path(folder) / "output.txt"
        with said.open("wb") as output:
            process = psutil.Popen(
                [interpreter, *server.command, "--port", str(port)],
                cwd=folder,
                env=_environment(secret, server.is_ours),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            path = f"{server.path}/{secret}" if server.is_ours else server.path
            yield f"http://127.0.0.1:{port}{path}", process, lambda: said.read_text("utf-8", errors="replace")[-300:]
        finally:
            every = tree(process)
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
            _, left = psutil.wait_procs(every, _STOP_TIMEOUT_S)
            for each in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()


def _environment(secret: str, is_ours: bool) -> Mapping[str, str]:
    """No hub is asked for weights that are random; an empty name of weights is open_clip's word for those."""
    own = {"PYTHONPATH": str(REPOSITORY), SECRETS_ENV: secret} if is_ours else {}
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **_RANDOM, **own}


def _measure(server: Server, interpreter: str, jpeg: bytes, requests: int, connections: int, duration_s: float) -> Seen:
    started_s = time.perf_counter()
    with running(server, interpreter) as (url, process, said):
        while not _answers(url, server, jpeg):
            if process.poll() is not None or time.perf_counter() - started_s > _READY_TIMEOUT_S:
                raise NotServedError(f"it did not start: {said()}")
            time.sleep(_POLL_S)
        ready_s = time.perf_counter() - started_s

        def make_body() -> bytes:
            return server.body(jpeg)

        asyncio.run(load.at_once(url, make_body, connections, _WARM_UP_S, server.content_type))
        alone = asyncio.run(load.one_after_another(url, make_body, requests, server.content_type))
        before = {each: cpu_s(each) for each in tree(process)}
        busy = asyncio.run(load.at_once(url, make_body, connections, duration_s, server.content_type))
        used_s = sum(cpu_s(each) - before.get(each, 0.0) for each in tree(process))
        return Seen(alone, busy, used_s, memory_bytes(process), ready_s)


def _answers(url: str, server: Server, jpeg: bytes) -> bool:
    async def status() -> int:
        async with load.Client(url) as client:
            return (await client.post(server.body(jpeg), server.content_type))[0]

    return asyncio.run(status()) in (200, 406)


def _row(server: Server, version: str, seen: Seen) -> tuple[Cell, ...]:
    # Only Pictwarden says whether it scanned: of the others every 200 counts, and 406 is Pictwarden's rejection.
    good = [each for each in seen.busy.outcomes if each.status in (200, 406)]
    alone = Latencies(each.latency_s for each in seen.alone.outcomes if each.status in (200, 406))
    core_ms = 1e3 * seen.cpu_s / len(good) if good else None
    rate = (len(good) / seen.busy.elapsed_s, core_ms, int(seen.memory_bytes / 1e6), seen.ready_s)
    return server.name, version, alone.told_percentile_ms(0.5), *rate
