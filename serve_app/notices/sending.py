"""Sends messages by a process of its own: no verdict waits for it, and one that hangs is killed.

That process imports Apprise, which is large, and speaks to whatever the URLs name.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from serve_app.domain import in_words
from serve_app.host.extras import how_to_install
from serve_app.notices.message import Message

SENT_WITHIN_S: Final = 30.0
"""For all addresses of one attempt together. Apprise itself waits 4 s for a connection, and 4 s for each answer."""

_START_S: Final = 60.0
"""Apprise takes two seconds of CPU time to start, behind everything else that the machine does."""

_INHERITED: Final = (
    *("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "HOME", "LANG", "LC_ALL", "TMPDIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
"""The other secrets of the service are none of its business."""

HOW_TO_INSTALL: Final = f"notices need Apprise, which is not installed: {how_to_install('notices')}"


@dataclass(frozen=True, slots=True)
class Job:
    """A message for an address. ``number`` is the place of the address among the others, from 1 on."""

    number: int
    url: str
    message: Message


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job; ``problem`` is None if the message was taken. No word of the URL is in it.

    ``service`` is what Apprise calls the kind of the address, such as Ntfy; empty where that is not known.
    """

    number: int
    service: str
    problem: str | None

    def __str__(self) -> str:
        service = f" ({self.service})" if self.service else ""
        return f"notice URL {self.number}{service}: {self.problem or 'delivered'}"


class Sender(Protocol):
    """Sends messages to addresses, once."""

    async def send(self, jobs: Sequence[Job], note: Callable[[Outcome], None]) -> None:
        """Have ``note`` told one outcome for each job, as soon as it is known.

        It takes at most about 90 s, and raises nothing. If it is cancelled, jobs without an outcome may be sent or not.
        """
        ...


class AppriseProcess:
    """:class:`Sender` that starts a process for each attempt."""

    def __init__(self, within_s: float = SENT_WITHIN_S) -> None:
        self._within_s = within_s

    @staticmethod
    def is_possible() -> bool:
        """Whether Apprise is installed."""
        return importlib.util.find_spec("apprise") is not None

    async def send(self, jobs: Sequence[Job], note: Callable[[Outcome], None]) -> None:
        """See the port."""
        problem = "the process that sends has ended before it was sent"
        waiting = {job.number for job in jobs}

        def hear(line: bytes) -> None:
            outcome = _outcome(line)
            if outcome is not None and outcome.number in waiting:
                waiting.remove(outcome.number)
                note(outcome)

        try:
            await self._exchange(json.dumps([asdict(job) for job in jobs]).encode(), hear)
        except TimeoutError:
            problem = f"no answer within {self._within_s:g} s"
        except OSError as error:
            problem = f"the process that sends cannot be used ({in_words(error)})"
        for number in sorted(waiting):
            note(Outcome(number, "", problem))

    async def _exchange(self, jobs: bytes, hear: Callable[[bytes], None]) -> None:
        """Give ``jobs`` to a new process, and have each line heard that it says."""
        start = "from serve_app.notices.apprise_main import main; main()"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", start),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # a traceback has URLs in it
            env=_environment(),
            start_new_session=True,  # a hang-up of the owner's terminal, or Ctrl-C there, is not for it
        )
        try:
            if process.stdin is None or process.stdout is None:
                raise OSError("the process has no pipes")
            async with asyncio.timeout(_START_S):
                await process.stdout.readline()
            process.stdin.write(jobs + b"\n")  # it stays open: its end tells the process that this one is gone
            async with asyncio.timeout(self._within_s):
                async for line in process.stdout:
                    hear(line)
                await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    # Not process.kill(): it asks first whether the process has ended, which only one can be told.
                    os.kill(process.pid, signal.SIGKILL)
            await process.wait()


def _environment() -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {"PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)}


def _outcome(line: bytes) -> Outcome | None:
    """What the process says in a line; None if that is something else."""
    try:
        said: Mapping[str, Any] = json.loads(line)
        return Outcome(int(said["number"]), str(said["service"]), None if said["problem"] is None else said["problem"])
    except (ValueError, KeyError, TypeError):
        return None
