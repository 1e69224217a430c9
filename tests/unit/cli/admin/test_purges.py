"""``pictwarden purges``: who purged what and why, and whether it worked."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from serve_app.domain import AuditEntry
from serve_app.purges import PURGE, PURGED
from tests.unit.cli.admin_service import AdminService, Run

NOW = datetime.now(UTC)


def record(admin: AdminService, number: int, at: datetime, **end: str) -> None:
    name = {"purge": f"p-{number}", "sha256": f"{number}" * 64}
    of_picture: dict[str, str | int] = {
        "body_bytes": 9,
        "aliases": json.dumps([f"{number}.png"]),
        "why": "rescan: triangle",
    }
    admin.run(admin.ledger.audit(AuditEntry(at, "service", PURGE, of_picture | name)))
    if end:
        admin.run(admin.ledger.audit(AuditEntry(at, "service", PURGED, {**name, **end})))


def test_purges_are_listed_newest_first_with_what_became_of_them(admin: AdminService, run: Run) -> None:
    record(admin, 1, NOW - timedelta(days=40), aliases='["1.png"]')
    record(admin, 2, NOW - timedelta(hours=3), aliases='["2.png"]')
    record(admin, 3, NOW - timedelta(hours=2), problem="pict-rs failed (500)")
    record(admin, 4, NOW - timedelta(hours=1))
    record(admin, 5, NOW - timedelta(minutes=1), aliases="[]")
    lines = run("purges").stdout.splitlines()
    told = [line.split("rescan: triangle")[1].split(maxsplit=1)[1].strip() for line in lines[1:]]
    assert told == [
        "it was gone already",
        "not known to have ended; it began with 4.png",
        "failed: pict-rs failed (500)",
        "2.png",
    ]


def test_json_has_them_all_for_an_export(admin: AdminService, run: Run) -> None:
    record(admin, 1, NOW - timedelta(days=40), aliases='["1.png"]')
    assert run("purges", "--json").stdout == ""
    (line,) = run("purges", "--json", "--since", "60d").stdout.splitlines()
    found = json.loads(line)
    assert (found["sha256"], found["aliases"], found["purged"]) == ("1" * 64, ["1.png"], ["1.png"])
    assert (found["actor"], found["why"], found["problem"]) == ("service", "rescan: triangle", None)


def test_no_purge_is_no_empty_table(run: Run) -> None:
    assert run("purges").stdout == "nothing was purged\n"
