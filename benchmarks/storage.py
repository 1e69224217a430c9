"""How fast a folder of small pictures is scanned, how flat the memory stays, and what a kill half way costs.

``pictwarden storage scan --local`` as a process, with an engine that costs nothing, over PNGs of 1 KB of drawn noise.
Half way it gets SIGKILL, with all that it has started, and is started again. *Resuming* is the time from the second
start to the first file that the first run had not done, less what the first run took to its first file: both start
Python, the ledger, the engine and the decode workers. Beside it, the loop of the tool that this one replaces, on the
same folder (:mod:`benchmarks.storage_other`).
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from benchmarks.command import Out, Run, Seed, console, give_up
from benchmarks.decision_parts.services import configuration
from benchmarks.processes import measured_apart
from benchmarks.record import Cell, Check, Table, at_least, at_most, table
from benchmarks.served import FAKE_POLICY
from benchmarks.storage_other import Counterpart, scan_as_the_other
from benchmarks.storage_process import Sample, ScanFailedError, StorageRun, core_ms_by_stage, running_scan
from serve_app.database.access import open_database
from serve_app.database.location import Location
from serve_app.ledger.spool import abandoned_spools

LEAST_PER_S = 500.0
MOST_RESUMING_S = 5.0
MOST_GROWTH = 1.15
EARLY_SHARE = 0.2

_WIDTH_PX, _HEIGHT_PX = 17, 18
"""Noise does not shrink: as a PNG it has 1,004 bytes."""

_IN_A_FOLDER = 1_000
_MOST_SPOOLED = 1_000_000

# A decision that was recalled took no time for its picture.
_EXAMINED = "SELECT count(*), count(DISTINCT sha256) FROM decisions WHERE preprocess_ms > 0"


def bench(
    files: Annotated[int, typer.Option(min=200, help="PNGs of 1 KB.")] = 100_000,
    threads: Annotated[int, typer.Option(min=1, max=64, help="--threads of the command.")] = 16,
    other_files: Annotated[
        int, typer.Option(min=0, help="For the loop of the old tool, which commits each by itself; 0 for none.")
    ] = 10_000,
    seed: Seed = 1,
    out: Out = None,
) -> None:
    """Measure; exit code 1 if it is slower, resumes later, grows, loses a file or scans one twice; 2 if it fails."""
    run = Run("storage", seed, out)
    with tempfile.TemporaryDirectory(prefix="pw-storage-") as temporary:
        home = Path(temporary)
        pictures = home / "pictures"
        with console.status(f"drawing {files:,} PNGs"):
            draw(pictures, files, seed)
        config = configured(home)
        try:
            first, second = _killed_half_way(pictures, config, home, files, threads)
        except ScanFailedError as error:
            give_up(str(error))
        kept = recorded(Location(home / ".pictwarden", home / ".pictwarden" / "ledger.db"))
        counterpart = None
        if other_files:
            with console.status("the loop of the old tool"):
                counterpart = measured_apart(scan_as_the_other, pictures, home / "other.db", threads, other_files)
    tables = [_run_table(files, threads, first, second, counterpart), _stage_table(second)]
    run.finish("Scan of a storage", tables, checks_of(files, first, second, kept))


def draw(folder: Path, files: int, seed: int) -> None:
    """So many different PNGs, at most 1,000 in a folder."""
    source = np.random.default_rng(seed)
    for number in range(files):
        within = folder / f"{number // _IN_A_FOLDER:03}"
        if number % _IN_A_FOLDER == 0:
            within.mkdir(parents=True)
        (within / f"{number:06}.png").write_bytes(small_png(source))


def small_png(source: np.random.Generator) -> bytes:
    """A PNG of 1,004 bytes."""
    body = io.BytesIO()
    Image.fromarray(source.integers(0, 256, (_HEIGHT_PX, _WIDTH_PX, 3), dtype=np.uint8)).save(body, "PNG")
    return body.getvalue()


def configured(home: Path) -> Path:
    """A configuration in ``home`` whose engine costs nothing."""
    policy, config = home / "policy.yaml", home / "serve.yaml"
    policy.write_text(FAKE_POLICY, "utf-8")
    config.write_text(json.dumps(configuration({"model": {"source": "fake"}, "policy": str(policy)})), "utf-8")
    return config


@dataclass(frozen=True, slots=True)
class Kept:
    """What is in the database after both runs.

    Attributes:
        files: in the journal.
        undecided: of them, those whose decision is neither in the ledger nor in a spool.
        examined_again: bodies that were examined more than once, the further times alone.
    """

    files: int
    undecided: int
    examined_again: int


def recorded(location: Location) -> Kept:
    """Read the journal and the ledger."""
    spooled: set[str] = set()
    for spool in abandoned_spools(location.spool_folder, location.name):
        with contextlib.closing(spool):
            spooled |= {entry.request_id for entry in spool.waiting(_MOST_SPOOLED)}
    with contextlib.closing(open_database(location)) as database, database.reading() as connection:
        journal = connection.exec_driver_sql("SELECT request_id FROM storage_files").scalars().all()
        decided = set(connection.exec_driver_sql("SELECT request_id FROM decisions").scalars()) | spooled
        examined, bodies = connection.exec_driver_sql(_EXAMINED).one()
    return Kept(len(journal), sum(each not in decided for each in journal), examined - bodies)


def checks_of(files: int, first: StorageRun, second: StorageRun, kept: Kept) -> list[Check]:
    """What is wanted of both runs together."""
    return [
        at_least("files/s of both runs, from the first file to the last", rate_per_s(first, second), LEAST_PER_S),
        at_most("resuming after SIGKILL", resuming_s(first, second), MOST_RESUMING_S, "s", 2),
        at_most("memory at the end ÷ at 20 % of the files", growth(files, first, second), MOST_GROWTH, digits=2),
        at_most("files that are not in the journal", files - kept.files, 0),
        at_most("files without a decision in the ledger", kept.undecided, 0),
        at_most("pictures that were examined again", kept.examined_again, 0),
    ]


def rate_per_s(first: StorageRun, second: StorageRun) -> float:
    """Files a second of two runs, without their starts; a file that both have done counts once."""
    names = {each.name for each in (*first.done, *second.done)}
    return len(names) / (first.working_s + second.working_s)


def resuming_s(first: StorageRun, second: StorageRun) -> float | None:
    """Seconds that the second run took longer than the first one to a file that the first one had not done."""
    anew_s = second.first_other_after_s({each.name for each in first.done})
    return None if anew_s is None else anew_s - first.first_after_s


def growth(files: int, first: StorageRun, second: StorageRun) -> float | None:
    """The memory of all processes at the end over that at 20 % of the files; None if it was not seen."""
    early = early_sample(files, first)
    return second.samples[-1].memory_bytes / early.memory_bytes if early and second.samples else None


def early_sample(files: int, first: StorageRun) -> Sample | None:
    """The first one behind 20 % of the files."""
    return next((each for each in first.samples if each.files >= EARLY_SHARE * files), None)


def _killed_half_way(
    pictures: Path, config: Path, home: Path, files: int, threads: int
) -> tuple[StorageRun, StorageRun]:
    arguments = ("--local", "--threads", str(threads))
    with console.status("until half way"), running_scan(pictures, config, home, *arguments) as scan:
        if not scan.wait_for(files // 2):
            raise ScanFailedError(f"it ended before it was half way: {scan.said}")
        scan.kill()
        first = scan.run
    with console.status("the rest"), running_scan(pictures, config, home, *arguments) as scan:
        scan.wait_for(2 * files)  # until it ends
        if scan.process.wait() != 0:
            raise ScanFailedError(f"it ended with {scan.process.returncode}: {scan.said}")
        return first, scan.run


def _run_table(
    files: int, threads: int, first: StorageRun, second: StorageRun, counterpart: Counterpart | None
) -> Table:
    early = early_sample(files, first)
    both = {each.name for each in first.done} & {each.name for each in second.done}
    told: list[tuple[str, Cell]] = [
        ("files/s, from the first file to the last of each run", rate_per_s(first, second)),
        ("files/s until the kill", len(first.done) / first.working_s),
        ("files/s after it", len(second.done) / second.working_s),
        ("first run: seconds to its first file", first.first_after_s),
        ("second run: seconds to a file that the first one had not done", _anew(first, second)),
        ("files of both runs (the ledger answered for them)", len(both)),
        ("memory (PSS) at 20 % of the files, MB", early.memory_bytes / 1e6 if early else None),
        ("memory (PSS) at the kill, MB", first.samples[-1].memory_bytes / 1e6),
        ("memory (PSS) at the end, MB", second.samples[-1].memory_bytes / 1e6 if second.samples else None),
    ]
    if counterpart is not None:
        told += [
            (f"the loop of the old tool, over {counterpart.files:,} of the files: files/s", counterpart.files_per_s),
            ("the same, core-ms a file", counterpart.core_ms),
        ]
    note = f"{files:,} PNGs of 1 KB, `--local --threads {threads}`, a SQLite ledger, an engine that costs nothing."
    return table("Scan of small files", {"": 0, "measured": 1}, told, note)


def _anew(first: StorageRun, second: StorageRun) -> float | None:
    return second.first_other_after_s({each.name for each in first.done})


def _stage_table(run: StorageRun) -> Table:
    used = core_ms_by_stage(run.samples) if len(run.samples) > 1 else {}
    rows = [*sorted(used.items(), key=lambda each: -each[1]), ("all", sum(used.values()))]
    return table("Core-ms a file by stage, second run", {"stage": 0, "core-ms": 2}, rows)
