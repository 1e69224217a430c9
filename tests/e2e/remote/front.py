"""A front as a process, and pictures that are sent to it: who scans them rejects red ones and accepts blue ones."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import psutil
import yaml

from benchmarks import load
from benchmarks.bodies import unique
from benchmarks.outcomes import LATE_S, Outcome, statuses
from benchmarks.processes import memory_bytes
from tests.e2e.remote.processes import START_TIMEOUT_S, Started, started
from tests.serve.conftest import FAKE_POLICY, ROOT, SECRET, drawn, free_port, wait_for, written

BLUE, RED = "blue", "red"
ACCEPTED, REJECTED, UNSCANNED = 200, 406, 503

_OWNERS = ("home", "rented", *(f"owner-{number}" for number in range(100)))
"""Each has a secret of its own: what one does is held against it alone."""

_NOBODY_YET = iter(_OWNERS[2:])


def somebody() -> str:
    """An owner of whom the front knows nothing."""
    return next(_NOBODY_YET)


_SIZE_PX = (320, 240)
_BODIES = {colour: drawn(colour, "JPEG", _SIZE_PX) for colour in (BLUE, RED)}


def secret_of(owner: str) -> str:
    return f"a-secret-of-a-worker-of-the-tests-{owner}"


WORKER_SECRETS = {"PICTWARDEN_WORKER_SECRETS": ",".join(f"{each}:{secret_of(each)}" for each in _OWNERS)}


@dataclass(frozen=True, slots=True)
class Sent:
    """A picture, and what became of it."""

    colour: str
    outcome: Outcome

    @property
    def status(self) -> int:
        return self.outcome.status


@dataclass
class Front:
    """A running front and what a test may ask of it."""

    process: Started
    port: int
    remote_port: int
    sent: list[Sent] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where pictures are sent."""
        return f"http://127.0.0.1:{self.port}/api/v1/scan/{SECRET}"

    @property
    def remote_url(self) -> str:
        """Where workers connect to."""
        return f"http://127.0.0.1:{self.remote_port}"

    @property
    def memory_bytes(self) -> int:
        return memory_bytes(psutil.Process(self.process.pid))

    async def scan(self, client: aiohttp.ClientSession, colour: str = BLUE) -> Sent:
        """Send a picture that was not sent before."""
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        status, body = await load.post(client, self.url, unique(_BODIES[colour]))
        self.sent.append(Sent(colour, Outcome.of_answer(0.0, 0.0, now_s() - began_s, status, body)))
        return self.sent[-1]

    async def scan_all(self, pictures: int, per_s: float) -> list[Sent]:
        """Send so many, each at its moment whatever became of those before, red and blue by turns."""
        colours = itertools.cycle((BLUE, RED))
        async with load.session() as client, asyncio.TaskGroup() as sends:
            tasks = []
            for colour in itertools.islice(colours, pictures):
                tasks.append(sends.create_task(self.scan(client, colour)))
                await asyncio.sleep(1 / per_s)
        return require_sound([each.result() for each in tasks])

    async def scan_until(self, has_happened: asyncio.Event, per_s: float) -> list[Sent]:
        """As :meth:`scan_all`, until then: which worker gets a picture is the front's choice."""
        async with load.session() as client, asyncio.TaskGroup() as sends:
            tasks = []
            for colour in itertools.cycle((BLUE, RED)):
                tasks.append(sends.create_task(self.scan(client, colour)))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(has_happened.wait(), 1 / per_s)
                    break
        return require_sound([each.result() for each in tasks])

    async def scan_one(self, colour: str = BLUE) -> Sent:
        """Send one."""
        async with load.session() as client:
            return require_sound([await self.scan(client, colour)])[0]

    async def has_worker(self, is_there: bool = True, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until a picture is scanned, whatever its verdict, or until none is since no worker is there."""
        async with asyncio.timeout(timeout_s), load.session() as client:
            while ((await self.scan(client)).status == UNSCANNED) == is_there:  # noqa: ASYNC110 - another process's
                await asyncio.sleep(0.05)

    async def trusts(self, worker: str, times: int = 1) -> None:
        """Wait until this worker has passed its trial so often."""
        async with asyncio.timeout(START_TIMEOUT_S):
            while self.process.text.count(f"the worker {worker} is trusted") < times:  # noqa: ASYNC110 - another process's
                await asyncio.sleep(0.05)


def require_sound(sent: Sequence[Sent]) -> list[Sent]:
    """What holds whatever happens to workers and their links; else the answers are told."""
    told = statuses(each.outcome for each in sent)
    assert not [each for each in sent if each.outcome.is_late], f"later than {LATE_S} s: {told}"
    assert not [each for each in sent if not each.outcome.is_answered], f"not answered: {told}"
    right = {BLUE: (ACCEPTED, "accept"), RED: (REJECTED, "reject")}
    for each in sent:
        is_unscanned = each.status == UNSCANNED and each.outcome.verdict is None
        assert is_unscanned or (each.status, each.outcome.verdict) == right[each.colour], (each, told)
    ids = [each.outcome.request_id for each in sent]
    assert len(set(ids)) == len(ids), "answered twice"
    return list(sent)


def all_scanned(sent: Sequence[Sent]) -> bool:
    assert sent
    assert all(each.outcome.is_scanned for each in sent), statuses(each.outcome for each in sent)
    return True


def config_of(folder: Path, **args: Any) -> dict[str, Any]:
    """A front whose model knows how red a picture is, on ports of its own."""
    policy = folder / "fake.yaml"
    policy.write_text(FAKE_POLICY, "utf-8")
    own = {
        "model": {"source": "fake:1ms"},
        "policy": str(policy),
        "decode_workers": 1,
        "metrics": {"port": None},
        "remote": {"port": free_port()},
    }
    config: dict[str, Any] = yaml.safe_load((ROOT / "deployments" / "local.yaml").read_text("utf-8"))
    config["http_options"]["port"] = free_port()
    config["applications"][0]["args"] = {**own, **args}
    return config


@contextlib.contextmanager
def serving(config: dict[str, Any], folder: Path, scorers: str = "remote", **environment: str) -> Iterator[Front]:
    """A front, or with ``scorers="here"`` a service without workers, once it answers; nothing is left afterwards."""
    arguments = ("serve", "--scorers", scorers, "--config", written(config, folder))
    ports = config["http_options"]["port"], config["applications"][0]["args"]["remote"]["port"]
    with started(arguments, folder, {"PICTWARDEN_SECRETS": SECRET, **WORKER_SECRETS, **environment}) as process:
        front = Front(process, *ports)
        wait_for(lambda: _answers(front), START_TIMEOUT_S)
        yield front


def _answers(front: Front) -> bool:
    assert front.process.is_running, front.process.text
    with contextlib.suppress(httpx.TransportError):
        return bool(httpx.post(front.url, content=b"no picture", trust_env=False).status_code)
    return False
