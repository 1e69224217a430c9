"""``pictwarden hunt`` beside a stand-in for pict-rs. What it finds: tests/contract/test_hunting.py."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from typer.testing import CliRunner

from serve_app.cli.main import app
from serve_app.cli.storage import hunting
from serve_app.database.location import Location
from serve_app.domain import AuditEntry, Lane, Verdict
from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.lemmy import REPORT, TOKEN_ENV
from serve_app.lists.opening import open_list_store
from serve_app.pictrs import API_KEY_ENV
from serve_app.purges import purges_since
from tests.contract.conftest import NOON, Made, patient_ledger
from tests.contract.lemmy.stand_in import TOKEN, Lemmy, lemmy_standing_in
from tests.contract.pictrs.stand_in import API_KEY, StandIn, standing_in

BODIES = [f"picture {number}".encode() for number in range(3)]


@dataclass
class Bench:
    """A ledger with an accepted decision on each of :data:`BODIES`, and pict-rs, which has stored them."""

    location: Location
    pictrs: StandIn
    aliases: list[str]
    lemmy: Lemmy

    def deny(self, number: int, bank: str = "banned") -> None:
        self.deny_body(BODIES[number], bank)

    def deny_body(self, body: bytes, bank: str = "banned") -> None:
        digest = hashlib.sha256(body).digest()
        draft = EntryDraft(
            kind=ListKind.DENY,
            fingerprint=Fingerprint(FingerprintType.SHA256, digest),
            bank=bank,
            reason="advertising",
        )
        with contextlib.closing(open_list_store(self.location)) as store:
            store.add([draft])

    async def hunt(self, *options: str, args: Mapping[str, Any] = {}, **pictrs: Any) -> tuple[int, list[str]]:
        """Its exit code, and what it said."""
        file = self.location.spool_folder / "config.yaml"
        args = {
            **args,
            "pictrs": {"url": self.pictrs.url, **pictrs},
            "lemmy": {"url": self.lemmy.url},
            "ledger": str(self.location.file),
        }
        document = {"applications": [{"import_path": "deployments.graph:build_app", "args": args}]}
        file.write_text(yaml.safe_dump(document), "utf-8")
        environment = {API_KEY_ENV: API_KEY, TOKEN_ENV: TOKEN, "STATE_DIRECTORY": str(file.parent)}
        arguments = ["hunt", "--config", str(file), *options]
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)
        return done.exit_code, done.output.splitlines()

    async def audit(self) -> list[AuditEntry]:
        with contextlib.closing(patient_ledger(self.location)) as ledger:
            return list(await ledger.audit_trail())


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    location = Location(tmp_path, tmp_path / "ledger.db")
    made = Made()
    with contextlib.closing(patient_ledger(location)) as ledger:
        for number, body in enumerate(BODIES):
            sha256 = hashlib.sha256(body).hexdigest()
            await ledger.record(made.decision(number, sha256=sha256, body_bytes=len(body)))
    async with standing_in() as pictrs, lemmy_standing_in("v3") as lemmy:
        yield Bench(location, pictrs, [pictrs.store(body) for body in BODIES], lemmy)


async def test_what_is_denied_is_shown_and_stays_until_it_is_to_be_purged(bench: Bench) -> None:
    bench.deny(1)
    code, (found, summary, way_out) = await bench.hunt()
    assert code == 1
    assert (
        found.split()
        == f"rejected {bench.aliases[1]} decision r-1: entry 1 in bank banned (sha256): advertising".split()
    )
    assert summary == "3 pictures compared with 1 entries: 1 rejected"
    assert "--purge" in way_out
    assert len(bench.pictrs.stored) == 3
    code, (purged, _) = await bench.hunt("--purge")
    assert (code, purged.split()[:2]) == (0, ["purged", bench.aliases[1]])
    assert [each.aliases for each in bench.pictrs.stored] == [[bench.aliases[0]], [bench.aliases[2]]]
    with contextlib.closing(patient_ledger(bench.location)) as ledger:
        (purge,) = await purges_since(ledger, NOON)
    assert (purge.why, purge.purged) == ("hunt: entry 1 in bank banned", (bench.aliases[1],))


async def test_the_next_hunt_looks_for_what_is_new_once_nothing_is_left(bench: Bench) -> None:
    assert await bench.hunt() == (0, ["there are no entries to look for"])
    bench.deny(0)
    for _ in range(2):
        assert (await bench.hunt())[1][-2] == "3 pictures compared with 1 entries: 1 rejected"
    assert (await bench.hunt("--purge"))[1][-1] == "3 pictures compared with 1 entries: 1 purged"
    assert await bench.hunt() == (0, ["no entry has been added since the last hunt: `--all` looks for all of them"])
    bench.deny(2, "community")
    assert (await bench.hunt("--purge"))[1][-1] == "3 pictures compared with 1 entries: 1 purged"
    assert (await bench.hunt("--all"))[0] == 0
    assert (await bench.hunt("--all"))[1][-1] == "3 pictures compared with 2 entries: 2 gone"
    assert (await bench.hunt("--bank", "community"))[1][-1] == "3 pictures compared with 1 entries: 1 gone"
    assert {each.action for each in await bench.audit()} >= {"hunt", "purge", "purged"}


async def test_beyond_the_quota_the_rest_is_left_for_tomorrow(bench: Bench) -> None:
    for number in range(3):
        bench.deny(number)
    code, lines = await bench.hunt("--purge", max_purges_per_day=2)
    assert (code, lines[-1]) == (1, "3 pictures compared with 3 entries: 2 purged, 1 rejected")
    assert any("today's quota of purges is used up" in line for line in lines)
    assert len(bench.pictrs.stored) == 1
    code, lines = await bench.hunt("--purge", max_purges_per_day=3)
    assert (code, lines[-1]) == (0, "3 pictures compared with 3 entries: 2 gone, 1 purged")


async def test_what_an_admin_allows_during_a_hunt_is_not_purged(bench: Bench) -> None:
    for number in range(2):
        bench.deny(number)

    def allow() -> None:
        with contextlib.closing(open_list_store(bench.location)) as store:
            store.remove([1, 2])

    bench.pictrs.after_purge = allow
    code, lines = await bench.hunt("--purge")
    assert (code, lines[-1]) == (0, "3 pictures compared with 2 entries: 1 accepted, 1 purged")
    assert any(line.endswith("the lists were changed meanwhile: it stays") for line in lines)
    assert len(bench.pictrs.stored) == 2


async def test_a_pict_rs_that_does_not_answer_leaves_all_for_later(bench: Bench) -> None:
    bench.deny(1)
    code, lines = await bench.hunt("--purge", url="http://127.0.0.1:9")
    assert (code, lines[-1]) == (2, "3 pictures compared with 1 entries: 1 later")
    assert (await bench.hunt("--purge"))[0] == 0


@pytest.mark.parametrize("options", [["--purge"], ["--purge", "--policy"]], ids=["by the lists", "by the policy"])
async def test_where_nothing_answers_it_ends(
    bench: Bench, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hunting, "MAX_LATER_IN_A_ROW", 2)
    policy = tmp_path / "strict.yaml"
    policy.write_text(POLICY.format(prompt="a red view"), "utf-8")
    for number in range(3):
        bench.deny(number)
    code, lines = await bench.hunt(*options, args={"policy": str(policy)}, url="http://127.0.0.1:9")
    assert (code, lines[-1].split(": ")[1]) == (2, "2 later")
    assert "2 pictures in a row had to be left for later: run the same command again" in lines


async def test_what_pict_rs_may_be_about_to_store_is_left_for_later(bench: Bench) -> None:
    bench.deny(1)
    bench.pictrs.forget(bench.aliases[1])
    decision = Made().decision(9, sha256=hashlib.sha256(BODIES[1]).hexdigest(), body_bytes=len(BODIES[1]))
    with contextlib.closing(patient_ledger(bench.location)) as ledger:
        await ledger.record(replace(decision, decided_at=datetime.now(UTC)))
    code, lines = await bench.hunt("--purge")
    assert (code, lines[-1]) == (2, "3 pictures compared with 1 entries: 1 later")


async def test_a_picture_of_the_background_lane_is_told_if_pict_rs_has_it(bench: Bench) -> None:
    with contextlib.closing(patient_ledger(bench.location)) as ledger:
        for number, body in enumerate((b"stored before we were there", b"a picture of an admin's own")):
            sha256 = hashlib.sha256(body).hexdigest()
            decision = Made().decision(20 + number, sha256=sha256, body_bytes=len(body), lane=Lane.BACKGROUND)
            await ledger.record(replace(decision, decided_at=datetime.now(UTC)))
            bench.deny_body(body)
    alias = bench.pictrs.store(b"stored before we were there")
    code, (found, *_) = await bench.hunt()
    assert (code, found.split()[:2]) == (1, ["rejected", alias])
    code, (_, passed_over, summary) = await bench.hunt("--purge")
    assert passed_over.startswith("1 rejected pictures were scanned in the background and are not in pict-rs")
    assert (code, summary) == (0, "5 pictures compared with 2 entries: 1 purged")
    assert (await bench.hunt("--all", url=None))[1][-2].startswith("1 rejected pictures"), "the other was purged"


async def test_what_somebody_else_purges_at_the_same_time_is_gone(bench: Bench) -> None:
    bench.deny(1)

    def purge() -> web.Response:
        bench.pictrs.forget(bench.aliases[1])
        return web.json_response({"code": "alias-not-found"}, status=404)

    bench.pictrs.answers["/internal/purge"] = purge
    code, lines = await bench.hunt("--purge")
    assert (code, lines[-1]) == (0, "3 pictures compared with 1 entries: 1 gone")


async def test_a_picture_whose_beginning_was_scanned_is_left_to_a_rescan(bench: Bench) -> None:
    part = b"the first part of a picture"
    outcome = Made().judged(Verdict.ACCEPT, is_truncated=True)
    decision = Made().decision(9, sha256=hashlib.sha256(part).hexdigest(), body_bytes=len(part), outcome=outcome)
    with contextlib.closing(patient_ledger(bench.location)) as ledger:
        await ledger.record(decision)
    bench.deny_body(part)
    code, lines = await bench.hunt("--purge")
    assert (code, lines[-1]) == (1, "4 pictures compared with 1 entries: 1 rejected")
    assert "`pictwarden rescan` finds it" in lines[0]


async def test_what_was_purged_a_moment_ago_is_gone(bench: Bench) -> None:
    bench.deny(1)
    decision = Made().decision(9, sha256=hashlib.sha256(BODIES[1]).hexdigest(), body_bytes=len(BODIES[1]))
    with contextlib.closing(patient_ledger(bench.location)) as ledger:
        await ledger.record(replace(decision, decided_at=datetime.now(UTC)))
    assert (await bench.hunt("--purge"))[1][-1] == "3 pictures compared with 1 entries: 1 purged"
    code, (gone, summary) = await bench.hunt("--all")
    assert (code, summary) == (0, "3 pictures compared with 1 entries: 1 gone")
    assert "it was purged (hunt: entry 1 in bank banned)" in gone


POLICY = """\
policy: strict
model: demo
concepts:
  red: {{score: cosine, prompts: [{prompt}]}}
rules:
  - {{name: red, verdict: reject, when: {{concept: red, above: -0.5}}, message: No red.}}
"""


async def test_what_the_policy_rejects_now_is_purged_if_that_is_wanted(bench: Bench, tmp_path: Path) -> None:
    """The stand-in's decisions have one set of scores: it rejects all that is judged."""
    policy = tmp_path / "strict.yaml"
    policy.write_text(POLICY.format(prompt="a red view"), "utf-8")
    code, lines = await bench.hunt("--policy", args={"policy": str(policy)})
    assert code == 1
    assert lines[0].split()[0] == "rejected"
    assert "rule red (margin +0.700): No red." in lines[0]
    assert lines[-2].startswith("3 pictures compared with the policy strict@")
    assert lines[-2].endswith(": 3 rejected")
    code, lines = await bench.hunt("--policy", "--purge", args={"policy": str(policy)}, max_purges_per_day=2)
    assert (code, lines[-1].split(": ")[1]) == (1, "2 purged, 1 rejected")
    code, lines = await bench.hunt("--policy", "--purge", args={"policy": str(policy)}, max_purges_per_day=3)
    assert (code, lines[-1].split(": ")[1]) == (0, "2 gone, 1 purged")
    assert bench.pictrs.stored == []
    (hunted,) = [each for each in await bench.audit() if each.action == "hunt"]
    assert set(hunted.detail) == {"purged", "left", "policies"}
    with contextlib.closing(patient_ledger(bench.location)) as ledger:
        assert {each.why for each in await purges_since(ledger, NOON)} == {"hunt: rule red"}


async def test_what_the_policy_cannot_judge_is_said(bench: Bench, tmp_path: Path) -> None:
    policy = tmp_path / "strict.yaml"
    policy.write_text(POLICY.format(prompt="a blue view"), "utf-8")
    code, lines = await bench.hunt("--policy", args={"policy": str(policy)})
    assert code == 0
    assert lines[0] == (
        "pictures that cannot be judged by their recorded scores: 3: a label of the policy was never scored"
    )
    assert lines[1].endswith(": none is rejected")


@pytest.mark.parametrize(
    ("options", "pictrs", "code", "said"),
    [
        (["--purge"], {"url": None}, 2, "pictrs.url is not set"),
        ([], {"url": None}, 0, "set pictrs.url to find and purge it"),
        (["--bank", "nothing"], {}, 2, "there is no bank nothing"),
        (["--report"], {"url": None}, 2, "pictrs.url is not set"),
        (["--report", "--purge"], {}, 2, "name one of --purge and --report"),
        (["--bank", "banned", "--all"], {}, 2, "name one of --bank, --all and --policy"),
    ],
)
async def test_what_is_missing_is_said(
    bench: Bench, options: list[str], pictrs: dict[str, Any], code: int, said: str
) -> None:
    bench.deny(1)
    exit_code, lines = await bench.hunt(*options, **pictrs)
    assert exit_code == code
    assert said in " ".join(lines)


async def test_a_report_is_filed_once_and_the_picture_stays(bench: Bench) -> None:
    for number in range(2):
        bench.deny(number)
    bench.lemmy.post(7, url=f"https://lemmy.example/pictrs/image/{bench.aliases[0]}")
    bench.lemmy.comment(9, f"![](https://lemmy.example/pictrs/image/{bench.aliases[0]})")
    code, lines = await bench.hunt("--report")
    *found, summary, way_out = lines
    assert (code, summary) == (1, "3 pictures compared with 2 entries: 2 rejected")
    assert way_out == "to purge them, give --purge in the place of --report"
    by_alias = {line.split()[1]: line for line in found}
    assert by_alias[bench.aliases[0]].endswith("; reported post 7, comment 9")
    assert by_alias[bench.aliases[1]].endswith("; no post or comment to report was found")
    expected = "Pictwarden: entry 1 of this instance's lists denies the picture: advertising"
    assert bench.lemmy.reports == [{"post_id": 7, "reason": expected}, {"comment_id": 9, "reason": expected}]
    assert len(bench.pictrs.stored) == 3
    with contextlib.closing(patient_ledger(bench.location)) as ledger:
        await ledger.record(
            Made().decision(10, sha256=hashlib.sha256(BODIES[0]).hexdigest(), body_bytes=len(BODIES[0]))
        )
    told = "; reported before post 7, comment 9; Lemmy was asked within the last 7 days"
    assert any(line.endswith(told) for line in (await bench.hunt("--report"))[1])
    assert len(bench.lemmy.reports) == 2
    assert [each.detail["on"] for each in await bench.audit() if each.action == REPORT] == ["comment 9", "post 7"]
    assert "alice" not in "".join(lines)


async def test_what_lemmy_does_not_answer_is_reported_by_the_next_hunt(bench: Bench) -> None:
    bench.deny(0)
    bench.lemmy.post(7, url=f"https://lemmy.example/pictrs/image/{bench.aliases[0]}")
    bench.lemmy.answers["/api/v3/post/report"] = lambda: web.Response(status=429)
    code, lines = await bench.hunt("--report")
    assert (code, lines[-1]) == (2, "3 pictures compared with 1 entries: 1 later")
    assert "asked too often" in lines[0]
    bench.lemmy.answers.clear()
    assert (await bench.hunt("--report"))[1][0].endswith("; reported post 7")


@pytest.mark.parametrize("table", ["fingerprints", "decisions", "audit"])
async def test_a_ledger_that_fails_meanwhile_is_said_in_a_line_and_nothing_is_purged(bench: Bench, table: str) -> None:
    bench.deny(1)
    with contextlib.closing(sqlite3.connect(bench.location.file or "")) as database:
        database.execute(f"DROP TABLE {table}")
    code, lines = await bench.hunt("--purge", "--all")
    assert code == 2
    assert any("cannot be" in line and f"no such table: {table}" in line for line in lines), lines
    assert len(bench.pictrs.stored) == 3
