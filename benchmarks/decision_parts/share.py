"""What is left of the rate of a model of real size with ledger, PDQ and lists of a million entries."""

from __future__ import annotations

from typing import Any

from benchmarks import load
from benchmarks.bodies import photo_like_jpeg, unique
from benchmarks.decision_parts.large_lists import ENTRIES, put_large_lists
from benchmarks.decision_parts.part import Options, Part
from benchmarks.decision_parts.pdq_hashes import fingerprint_core_ms
from benchmarks.decision_parts.services import serving
from benchmarks.load import Target
from benchmarks.outcomes import Load
from benchmarks.record import at_least, table
from benchmarks.servers import REPOSITORY

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
    whole, bare = options.home("whole"), options.home("bare")
    put_large_lists(options, whole)
    turns: dict[str, list[Load]] = {"with": [], "without": []}
    with serving(whole, _VIT_B_32) as with_all, serving(bare, {**_VIT_B_32, "ledger": "memory"}) as without:
        services = {"with": with_all, "without": without}
        for number in range(_TURNS):
            for name in services if number % 2 == 0 else reversed(services):
                target = Target(services[name].url, lambda: unique(jpeg), service=services[name].process)
                load.at_once(target, load.FEWEST_CONNECTIONS, _WARM_UP_S)
                turns[name].append(load.at_once(target, load.FEWEST_CONNECTIONS, _DURATION_S))
    rows = {name: _rate_and_core_ms(loads) for name, loads in turns.items()}
    pdq_ms = fingerprint_core_ms(jpeg)
    (with_per_s, _), (without_per_s, core_ms) = rows["with"], rows["without"]
    # Where every core is busy, pictures without a PDQ would cost so much less.
    share = with_per_s / without_per_s * (1 - pdq_ms / core_ms)
    note = (
        f"{load.FEWEST_CONNECTIONS} connections, new pictures of 200 KB, {_TURNS} times {_DURATION_S:.0f} s to each of "
        f"two services, by turns: with a SQLite file and {ENTRIES:,} perceptual entries, and with `ledger: memory`. "
        f"Both take PDQs, which cost {pdq_ms:.2f} core-ms a picture: the check subtracts them from the second."
    )
    columns = {"ledger and lists": 0, "pictures/s": 2, "core-ms a picture": 1}
    found = table("ViT-B-32 with and without", columns, [(name, *row) for name, row in rows.items()], note)
    return [found], [at_least("ledger, PDQ and lists leave of the rate", share, _LEAST_SHARE, digits=3)]


def _rate_and_core_ms(loads: list[Load]) -> tuple[float, float]:
    """Pictures scanned a second, and the service's processor time for each of them."""
    scanned = sum(each.scanned for each in loads)
    used_s = sum(sum(each.service_cpu_s.values()) for each in loads)
    return scanned / sum(each.elapsed_s for each in loads), 1e3 * used_s / scanned
