"""What is left of the rate of a model of real size with ledger, PDQ and lists of a million entries."""

from __future__ import annotations

from typing import Any

from benchmarks import load
from benchmarks.bodies import photo_like_jpeg, unique
from benchmarks.decision_parts.large_lists import ENTRIES, put_large_lists
from benchmarks.decision_parts.part import Options, Part
from benchmarks.decision_parts.pdq_hashes import fingerprint_core_ms
from benchmarks.decision_parts.services import serving
from benchmarks.processes import tree_cpu_s
from benchmarks.record import Column, Table, at_least
from benchmarks.servers import REPOSITORY, Home, Running

_LEAST_SHARE = 0.85
_TURNS = 4
_DURATION_S = 12.0
_WARM_UP_S = 4.0
_VIT_B_32: dict[str, Any] = {
    "model": {"source": "random:ViT-B-32"},
    "policy": str(REPOSITORY / "benchmarks/policies/random-vit-b-32.yaml"),
}


def measure(options: Options) -> Part:
    """Two services, one with everything and one without, loaded by turns."""
    jpeg = photo_like_jpeg(200_000, options.seed)
    whole, bare = Home.within(options.folder / "whole"), Home.within(options.folder / "bare")
    put_large_lists(options, whole)
    with serving(whole, _VIT_B_32) as with_all, serving(bare, {**_VIT_B_32, "ledger": "memory"}) as without:
        turns = {"with": _Turns(with_all), "without": _Turns(without)}
        for number in range(_TURNS):
            for each in turns.values() if number % 2 == 0 else reversed(turns.values()):
                each.take(jpeg)
    pdq_ms = fingerprint_core_ms(jpeg)
    measured, core_ms = turns["with"].per_s / turns["without"].per_s, turns["without"].core_ms
    # Where every core is busy, pictures without a PDQ would cost so much less.
    share = measured * (1 - pdq_ms / core_ms)
    rows = tuple((name, each.per_s, each.core_ms) for name, each in turns.items())
    columns = (Column("ledger and lists"), Column("pictures/s", 2), Column("core-ms a picture", 1))
    note = (
        f"{load.FEWEST_CONNECTIONS} connections, new pictures of 200 KB, {_TURNS} times {_DURATION_S:.0f} s to each of "
        f"two services, by turns: with a SQLite file and {ENTRIES:,} perceptual entries, and with `ledger: memory`. "
        f"Both take PDQs, which cost {pdq_ms:.2f} core-ms a picture: the check subtracts them from the second."
    )
    return Part(
        (Table("ViT-B-32 with and without", columns, rows, note),),
        (at_least("ledger, PDQ and lists leave of the rate", share, _LEAST_SHARE, digits=3),),
    )


class _Turns:
    """The turns of one service."""

    def __init__(self, service: Running) -> None:
        self._service = service
        self._scanned, self._elapsed_s, self._cpu_s = 0, 0.0, 0.0

    @property
    def per_s(self) -> float:
        """Pictures scanned a second."""
        return self._scanned / self._elapsed_s

    @property
    def core_ms(self) -> float:
        """Processor time of the service for each of them."""
        return self._cpu_s * 1e3 / self._scanned

    def take(self, jpeg: bytes) -> None:
        """Load it once more."""
        url, connections = self._service.url, load.FEWEST_CONNECTIONS
        load.at_once(url, lambda: unique(jpeg), connections, _WARM_UP_S)
        before_s = tree_cpu_s(self._service.process)
        loaded = load.at_once(url, lambda: unique(jpeg), connections, _DURATION_S)
        self._cpu_s += tree_cpu_s(self._service.process) - before_s
        self._scanned += loaded.scanned
        self._elapsed_s += loaded.elapsed_s
