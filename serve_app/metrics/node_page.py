"""One page for all processes of a service on one node: each writes a snapshot of its metrics into one folder.

The series of each process stay its own, told apart by a label: sums of processes would go back whenever one is
replaced, and Prometheus takes a counter that goes back for one that has begun again (``docs/adr/0023``).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from serve_app.metrics.exposition import page_text

SNAPSHOT_EVERY_S: Final = 2.0

SILENT_AFTER_S: Final = 10.0
"""The process has ended, or stands still: what it said of the moment no longer holds."""

GONE_AFTER_S: Final = 60.0
"""Its last counts are told until then, so that Prometheus, which asks every 15 s, has seen them."""

REPLICA: Final = "replica"

_SUFFIX = ".prom"

# What a metric begins with. In a label's value there is no line break.
_BEGINS = "\n# HELP "


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The metrics of one process, as it last wrote them: Prometheus' text, in which each series names the process."""

    replica: str
    age_s: float
    text: str

    @property
    def is_silent(self) -> bool:
        """Whether its process has ended, or stands still."""
        return self.age_s > SILENT_AFTER_S


class NodePage:
    """The snapshots in one folder, which belongs to the service alone."""

    def __init__(self, folder: Path, wall_clock: Callable[[], float] = time.time) -> None:
        """``folder`` is made where it is missing, for this user alone."""
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._wall_clock = wall_clock

    def write(self, replica: str, text: bytes) -> None:
        """Replace the snapshot of ``replica`` by the text of its metrics.

        Raises:
            OSError: the folder cannot be written.
        """
        written = self._folder / f"{replica}.{os.getpid()}.new"
        lines = (_named(line, replica) for line in text.decode().split("\n"))
        written.write_bytes("\n".join(lines).encode())
        written.replace(self._folder / f"{replica}{_SUFFIX}")

    def snapshots(self) -> Iterator[Snapshot]:
        """The latest of each process; those of processes that are long gone are removed."""
        for file, age_s in self._recent():
            with contextlib.suppress(OSError, UnicodeDecodeError):  # removed by another reader
                yield Snapshot(_replica_of(file), age_s, file.read_bytes().decode())

    def silent_replicas(self) -> tuple[str, ...]:
        """Processes that have told nothing recently: they ended a moment ago, or stand still."""
        return tuple(_replica_of(file) for file, age_s in self._recent() if age_s > SILENT_AFTER_S)

    def _recent(self) -> Iterator[tuple[Path, float]]:
        """The file of each snapshot, and its age in seconds; those of processes that are long gone are removed."""
        for file in sorted(self._folder.glob(f"*{_SUFFIX}")):
            with contextlib.suppress(OSError):  # removed by another reader
                age_s = max(0.0, self._wall_clock() - file.stat().st_mtime)
                if age_s > GONE_AFTER_S:
                    file.unlink()
                else:
                    yield file, age_s

    def text(self) -> bytes:
        """The series of all processes, in Prometheus' text.

        Those of one metric have to stand together. They are moved and not parsed: thirty replicas tell 6,000 lines.
        """
        registry = CollectorRegistry()
        ages = Gauge(
            "pictwarden_snapshot_age_seconds",
            "Since a replica of this node last told its metrics; they are 60 s old at most.",
            [REPLICA],
            registry=registry,
        )
        families: dict[str, list[str]] = {}
        for snapshot in self.snapshots():
            ages.labels(snapshot.replica).set(snapshot.age_s)
            for family in f"\n{snapshot.text}".split(_BEGINS)[1:]:
                help_text, type_text, *series = family.strip("\n").split("\n")
                if snapshot.is_silent and type_text.endswith(" gauge"):
                    continue
                name = help_text.partition(" ")[0]
                families.setdefault(name, [f"# HELP {help_text}", type_text]).extend(series)
        lines = itertools.chain.from_iterable(families.values())
        return page_text(registry) + "".join(f"{line}\n" for line in lines).encode()


def _named(line: str, replica: str) -> str:
    """A line of a page; if it is a series, with the label of the process."""
    if not line or line.startswith("#"):
        return line
    name, brace, rest = line.partition("{")
    if brace:
        return f'{name}{{{REPLICA}="{replica}",{rest}'
    name, _, value = line.partition(" ")
    return f'{name}{{{REPLICA}="{replica}"}} {value}'


def _replica_of(file: Path) -> str:
    return file.name.removesuffix(_SUFFIX)
