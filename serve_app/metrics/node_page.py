"""One page for all processes of a service on one node: each writes a snapshot of its metrics into one folder.

The series of each process stay its own, told apart by a label: sums of processes would go back whenever one is
replaced, and Prometheus takes a counter that goes back for one that has begun again (``docs/adr/0023``).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

SNAPSHOT_EVERY_S: Final = 2.0

SILENT_AFTER_S: Final = 10.0
"""The process has ended, or stands still: what it said of the moment no longer holds."""

GONE_AFTER_S: Final = 60.0
"""Its last counts are told until then, so that Prometheus, which asks every 15 s, has seen them."""

REPLICA: Final = "replica"

_SUFFIX = ".prom"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The metrics of one process, as it last wrote them: Prometheus' text."""

    replica: str
    age_s: float
    text: str

    @property
    def is_silent(self) -> bool:
        """Whether its process has ended, or stands still."""
        return self.age_s > SILENT_AFTER_S


class NodePage(Collector):
    """The snapshots in one folder, which belongs to the service alone."""

    def __init__(self, folder: Path, wall_clock: Callable[[], float] = time.time) -> None:
        """``folder`` is made where it is missing, for this user alone."""
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._wall_clock = wall_clock

    def write(self, replica: str, text: bytes) -> None:
        """Replace the snapshot of ``replica``.

        Raises:
            OSError: the folder cannot be written.
        """
        written = self._folder / f"{replica}.{os.getpid()}.new"
        written.write_bytes(text)
        written.replace(self._folder / f"{replica}{_SUFFIX}")

    def snapshots(self) -> Iterator[Snapshot]:
        """The latest of each process; those of processes that are long gone are removed."""
        for file, age_s in self._recent():
            with contextlib.suppress(OSError, UnicodeDecodeError):  # removed by another reader
                yield Snapshot(_replica_of(file), age_s, file.read_text("utf-8"))

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

    def collect(self) -> Iterable[Metric]:
        """See Prometheus' library: the series of all processes, each with the name of its replica."""
        ages = GaugeMetricFamily(
            "pictwarden_snapshot_age_seconds",
            "Since a replica of this node last told its metrics; they are 60 s old at most.",
            labels=[REPLICA],
        )
        families: dict[str, Metric] = {ages.name: ages}
        for snapshot in self.snapshots():
            ages.add_metric([snapshot.replica], snapshot.age_s)
            for family in text_string_to_metric_families(snapshot.text):
                if snapshot.is_silent and family.type == "gauge":
                    continue
                known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                known.samples += [
                    each._replace(labels={**each.labels, REPLICA: snapshot.replica}) for each in family.samples
                ]
        return families.values()


def _replica_of(file: Path) -> str:
    return file.name.removesuffix(_SUFFIX)
