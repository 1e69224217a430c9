"""``pictwarden storage scan`` where something is wrong: options, files, the store, the service, the ledger."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from serve_app.domain import StorageUnavailableError
from serve_app.storage.scan.source import StoredFile, Wanted
from serve_app.storage.scan.stores.local import LocalSource
from tests.unit.cli.conftest import ANSWERS, StandIn
from tests.unit.cli.storage_bench import Bench


def test_what_cannot_be_read_is_no_failure_if_it_is_to_be_skipped(bench: Bench) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    bench.write("a.png", "accept").chmod(0)
    assert "unreadable   a.png" in bench.scan(exit_code=2).stdout
    bench.scan("--skip-unreadable")
    bench.scan("--skip_unreadable")


@pytest.mark.parametrize(
    ("options", "settings", "said"),
    [
        (["s4://bucket"], {}, "names no store"),
        (["/does/not/exist"], {}, "/does/not/exist cannot be opened"),
        (["/"], {"ledger": "memory"}, "name a database"),
        (["/", "--on-reject", "quarantine"], {}, "name one below it with --quarantine"),
        (["/", "--on-reject", "lemmy"], {}, "Lemmy knows the pictures of pict-rs alone"),
        (["/", "--since", "1h", "--minutes", "1"], {}, "name one of --since and --minutes"),
        (["/", "--watch", "--all"], {}, "name one of --watch and --all"),
        (["/", "--watch", "--limit", "9"], {}, "name one of --watch and --limit"),
        (["/", "--threads", "0"], {}, "--threads"),
        (["/"], {"ledgre": "x"}, "ledgre"),
    ],
)
def test_what_is_wrong_is_said(bench: Bench, options: list[str], settings: dict[str, Any], said: str) -> None:
    done = bench.storage("scan", *options, **settings)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_service_the_ways_out_are_said(bench: Bench) -> None:
    bench.environment["PICTWARDEN_URL"] = ""
    assert "--local" in bench.scan(exit_code=2).stderr


def test_a_wrong_secret_ends_it(bench: Bench, service: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, b"wrong", (401, {"verdict": None, "reason": "unauthorised", "message": "no"}))
    bench.write("a.png", "wrong")
    done = bench.scan(exit_code=2)
    assert "the secret is wrong" in done.stderr
    assert "secret-of-the-tests" not in done.output


def test_a_service_that_is_busy_for_all_ends_it_and_what_was_done_stays_done(
    bench: Bench, service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.storage.scan.run.TRIES", 1)
    bench.write("a.png", "accept")
    bench.scan()
    for number in range(40):
        bench.write(f"b/{number:02}.png", f"accept {number}")
    service.says = b"busy"
    done = bench.scan(exit_code=2)
    assert "files in a row could not be scanned" in done.stderr
    assert "run the same command to continue" in done.stderr
    assert len(service.bodies) < 40
    service.says = None
    assert bench.scan().stdout == "40 files: 40 accepted; 1 were done before\n"
    service.says = b"busy"
    assert "with --all the same command begins with the first file" in bench.scan("--all", exit_code=2).stderr


def test_a_store_that_goes_away_ends_it_and_the_way_on_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write("a.png", "accept")
    bench.scan()
    files = LocalSource.files

    async def files_and_no_more(source: LocalSource, wanted: Wanted) -> AsyncIterator[Sequence[StoredFile]]:
        async for part in files(source, wanted):
            yield part
        raise StorageUnavailableError("no answer")

    monkeypatch.setattr(LocalSource, "files", files_and_no_more)
    assert bench.scan(exit_code=2).stderr == "no answer\nrun the same command to continue\n"


def test_a_ledger_that_fails_meanwhile_is_said_in_a_line_and_nothing_is_removed(bench: Bench) -> None:
    bench.write("a.png", "reject")
    with contextlib.closing(sqlite3.connect(bench.location.file or "")) as database:
        database.execute("DROP TABLE audit")
    done = bench.scan("--on-reject", "purge", exit_code=2)
    assert "the ledger cannot be written: no such table: audit" in done.stderr
    assert bench.left() == ["a.png"]


def test_a_service_that_is_gone_ends_it(bench: Bench) -> None:
    bench.write("a.png", "accept")
    done = bench.scan("--url", "http://127.0.0.1:9/api/v1/scan/a-secret", exit_code=2)
    assert "no answer from Pictwarden: is it running?" in done.stderr
    assert "a-secret" not in done.output
