"""How soon bytes are answered that the service has scanned before."""

from __future__ import annotations

from benchmarks import load
from benchmarks.decision_parts.part import KNOWN_PICTURES, Options, Part, known_bodies
from benchmarks.decision_parts.services import serving
from benchmarks.load import Target
from benchmarks.outcomes import Load, percentile_ms, told_percentiles_ms
from benchmarks.record import at_most, table

_MOST_MS = 3.0
_TIMES = 8
_SHARES = {"p50": 0.5, "p99": 0.99}
_PICTURE_BYTES = 200_000


def measure(options: Options) -> Part:
    """One after another, to a service in one process with its ledger in a SQLite file."""
    make_body = known_bodies(_PICTURE_BYTES, options.seed)
    with serving(options.home("known"), {}) as started:
        target = Target(started.url, make_body)
        first = load.each_in_turn(target, KNOWN_PICTURES, name="new")
        again = load.each_in_turn(target, _TIMES * KNOWN_PICTURES, name="known")
    rows = (
        (each.name, len(times_s), *told_percentiles_ms(times_s, *_SHARES.values()))
        for each, times_s in ((first, _service_times_s(first)), (again, _service_times_s(again)))
    )
    columns = {"pictures": 0, "answers": 0, **{f"{name} ms": 2 for name in _SHARES}}
    note = (
        "Pictures of 200 KB, one after another; milliseconds from the first byte to the answer, by the service's clock."
    )
    are_answered = all(each.is_scanned for each in (*first.outcomes, *again.outcomes))
    times_s = _service_times_s(again) if are_answered else []
    checks = [
        at_most(f"known bytes are answered, {name}", percentile_ms(times_s, share), _MOST_MS, "ms", 2)
        for name, share in _SHARES.items()
    ]
    return [table("Known bytes", columns, rows, note)], checks


def _service_times_s(measured: Load) -> list[float]:
    return [each.elapsed_ms / 1e3 for each in measured.outcomes if each.elapsed_ms is not None]
