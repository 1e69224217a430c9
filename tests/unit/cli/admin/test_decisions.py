"""``pictwarden decisions``, ``why`` and ``forget``, against the admin API itself."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serve_app.admin_api import Decisions, UploadersAnswer
from serve_app.cli.moments import local, moment
from serve_app.domain import (
    AuditEntry,
    Decision,
    Erased,
    ForgetScope,
    ModelIdentity,
    Outcome,
    ShadowJudgement,
    Verdict,
)
from serve_app.domain.canary import CANARY_BANK, CANARY_SHA256
from serve_app.ledger import MemoryLedger
from serve_app.lemmy import TOKEN_ENV
from serve_app.pictrs import API_KEY_ENV
from serve_app.settings import parse_settings
from tests.contract.lemmy.stand_in import TOKEN, Lemmy, lemmy_standing_in
from tests.contract.pictrs.stand_in import API_KEY, StandIn, standing_in
from tests.unit.cli.admin_service import AdminService, Run, running_admin_service
from tests.unit.outcomes import LET_THROUGH, LISTED, REJECTED

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
FILE = b"the bytes of a file"
FILE_SHA256 = hashlib.sha256(FILE).hexdigest()


def decision(number: int, outcome: Outcome = REJECTED, **changed: object) -> Decision:
    made = Decision(
        f"{number:032x}",
        NOON + timedelta(seconds=number),
        FILE_SHA256,
        len(FILE),
        outcome,
        False,
        ModelIdentity("demo", "a" * 64, 224),
        "colours",
        "c" * 64,
        12.5,
    )
    return replace(made, **changed)  # type: ignore[arg-type]


# decisions


def test_decisions_are_listed_newest_first(admin: AdminService, run: Run) -> None:
    admin.record(decision(1), decision(2, LISTED), decision(3, LET_THROUGH, kept=True))
    lines = run("decisions").output.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == [f"{number:032x}" for number in (3, 2, 1)]
    assert "overloaded, let through" in lines[1]
    assert "list spam, entry entry-7" in lines[2]
    assert "rule triangles" in lines[3]


def test_decisions_on_the_canary_are_listed_apart_and_why_knows_them(admin: AdminService, run: Run) -> None:
    canary = replace(LISTED, bank=CANARY_BANK)
    admin.record(decision(1), decision(2, canary, sha256=CANARY_SHA256.hex()))
    for options, number in (((), 1), (("--canary",), 2)):
        lines = run("decisions", *options).output.splitlines()
        assert [line.split()[-1] for line in lines[1:]] == [f"{number:032x}"]
    assert "list canary" in run("why", CANARY_SHA256.hex()).output


def test_filters_and_json_are_for_scripts(admin: AdminService, run: Run) -> None:
    admin.record(decision(1), decision(2, LISTED), decision(3, LET_THROUGH, kept=True))
    lines = run("decisions", "--verdict", "reject", "--until", "2026-01-31T12:00:02Z", "--json").output.splitlines()
    assert [json.loads(line)["rule"] for line in lines] == ["triangles"]
    assert run("decisions", "--pending", "--json").output.count("\n") == 1
    assert run("decisions", "--since", "1d").output.count("\n") == 1  # the header
    admin.run(admin.ledger.mark_done(f"{3:032x}", "rescan: unscannable"))
    (line,) = run("decisions", "--done", "rescan: unscannable", "--json").output.splitlines()
    assert json.loads(line)["id"] == f"{3:032x}"


def test_where_the_policy_on_trial_differs_is_shown(admin: AdminService, run: Run) -> None:
    shadow = ShadowJudgement(Verdict.ACCEPT, None, -0.25, "on-trial", "d" * 64)
    admin.record(decision(1), decision(2, shadow_judgement=shadow))
    _, line = run("decisions", "--shadow-differs").output.splitlines()
    assert line.split()[-1] == f"{2:032x}"
    assert "rule triangles; shadow: accept, no rule held" in line
    told = run("why", f"{2:032x}").output
    assert "accept, no rule held, margin -0.250; policy on-trial (dddddddddddd)" in told


def test_decisions_of_a_worker_are_listed_since_a_moment_and_why_names_it(admin: AdminService, run: Run) -> None:
    admin.record(decision(1, worker="anna/desktop"), decision(2), decision(3, worker="anna/desktop"))
    for since, numbers in (("2026-01-31T12:00:00Z", (3, 1)), ("2026-01-31T12:00:02Z", (3,))):
        lines = run("decisions", "--worker", "anna/desktop", "--since", since).output.splitlines()
        assert [line.split()[-1] for line in lines[1:]] == [f"{number:032x}" for number in numbers]
    assert "anna/desktop" in run("why", f"{1:032x}").output
    assert "worker" not in run("why", f"{2:032x}").output


def test_a_cut_list_says_so(admin: AdminService, run: Run) -> None:
    admin.record(decision(1), decision(2))
    assert "more than these 1" in run("decisions", "--limit", "1").stderr


# why


def test_why_explains_the_latest_decision_on_a_file(admin: AdminService, run: Run, tmp_path: Path) -> None:
    admin.record(decision(1, kept=True), decision(2))
    (tmp_path / "mine.gif").write_bytes(FILE)
    told = run("why", "mine.gif").output
    for wanted in (
        f"{2:032x}",
        "rule triangles",
        "red triangles are refused",
        "triangle=0.310",
        "+0.040",
        "frame 3, from 0% to 50% of its width and 25% to 100% of its height",
        f"2 decisions on these bytes since {local(NOON + timedelta(seconds=1))}: 1 refused them.",
    ):
        assert wanted in told


def test_why_takes_a_sha256_and_a_decision(admin: AdminService, run: Run) -> None:
    admin.record(decision(1), decision(2, LISTED))
    assert f"{2:032x}" in run("why", FILE_SHA256.upper()).output
    told = run("why", f"{1:032x}").output
    assert "rule triangles" in told
    assert "2 decisions on these bytes" in told
    assert "frame 3 differs from the entry in 12 of 256 bits" in run("why", f"{2:032x}").output


def test_why_says_that_it_counts_the_newest_decisions_alone(admin: AdminService, run: Run) -> None:
    admin.record(*(decision(number, kept=number % 2 == 0) for number in range(102)))
    for picture, shown in ((FILE_SHA256, 101), (f"{0:032x}", 0)):
        told = run("why", picture).output
        assert f"{shown:032x}" in told
        since = local(NOON + timedelta(seconds=2))
        expected = f"More than 100 decisions on these bytes. Of the newest 100, since {since}, 50 refused them."
        assert expected in told
        as_json = Decisions.model_validate_json(run("why", "--json", picture).output)
        assert as_json.decisions[0].id == f"{shown:032x}"
        assert as_json.cursor is not None


def test_why_names_a_match_that_decided_nothing(admin: AdminService, run: Run) -> None:
    admin.record(decision(1, shadow_matches=(replace(LISTED, bank="trial"),)))
    assert "list trial, entry entry-7, matches too" in run("why", FILE_SHA256).output


def test_why_of_a_picture_that_nobody_knows_says_what_to_do(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.gif").write_bytes(b"other bytes")
    assert "pictwarden decisions" in run("why", "mine.gif", exit_code=2).stderr
    assert "no decision" in run("why", "0" * 32, exit_code=2).stderr
    told = run("why", "nothing.gif", exit_code=2).stderr
    assert "neither a file" in told
    assert "pictrs.url is not set" in told


def test_why_does_not_hold_a_large_file_in_memory(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "film.mp4").open("wb") as film:
        film.truncate(64 << 20)
    tracemalloc.start()
    try:
        run("why", "film.mp4", exit_code=2)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 32 << 20


# forget


def test_forget_asks_first(admin: AdminService, run: Run) -> None:
    admin.record(decision(1))
    run("forget", FILE_SHA256, typed="n\n", exit_code=1)
    assert f"{1:032x}" in run("decisions").output
    assert "Erased 1 decisions" in run("forget", FILE_SHA256, typed="y\n").output
    assert f"{1:032x}" not in run("decisions").output
    assert ("alice", "forget") in admin.actions()


def test_forget_by_time_and_by_source(admin: AdminService, run: Run) -> None:
    admin.record(decision(1), decision(2), decision(3, source="kbin"))
    assert "Erased 1 decisions" in run("forget", "--before", "2026-01-31T12:00:02Z", "--yes").output
    assert "Erased 1 decisions" in run("forget", "--source", "kbin", "--yes").output


class SlowLedger(MemoryLedger):
    """It erases once somebody has asked how much is erased."""

    def __init__(self) -> None:
        super().__init__()
        self._is_asked = asyncio.Event()

    async def audit(self, entry: AuditEntry) -> None:
        await super().audit(entry)
        if entry.action.startswith("GET"):
            self._is_asked.set()

    async def forget(
        self, scope: ForgetScope, actor: str, show: Callable[[Erased], None] = lambda erased: None
    ) -> Erased:
        await self._is_asked.wait()
        return await super().forget(scope, actor, show)


def test_forget_waits_until_all_is_erased(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.http.routes.admin.forgetting.ANSWER_WITHIN_S", 0.01)
    with running_admin_service(ledger=SlowLedger()) as admin:
        monkeypatch.setenv("PICTWARDEN_ADMIN_URL", admin.url)
        admin.record(decision(1), decision(2))
        assert "Erased 2 decisions" in run("forget", FILE_SHA256, "--yes").output


@pytest.mark.parametrize("wrong", [(), ("abc",), ("--before", "soon"), (FILE_SHA256, "--source", "x")])
def test_an_unclear_wish_is_refused(run: Run, wrong: tuple[str, ...]) -> None:
    run("forget", "--yes", *wrong, exit_code=2)


# The connection


@pytest.mark.parametrize(
    ("before", "after"), [(("forget", "--yes", "--source"), ()), (("allow",), ("--reason", "a red tent"))]
)
def test_bytes_that_are_no_text_are_refused(run: Run, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    told = run(*before, b"\xff".decode("utf-8", "surrogateescape"), *after, exit_code=2)
    assert "Invalid value" in told.output


def test_without_a_secret_the_way_out_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PICTWARDEN_ADMIN_SECRETS")
    assert "set PICTWARDEN_ADMIN_SECRETS" in run("decisions", exit_code=2).stderr


def test_a_wrong_secret_is_said_to_be_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTWARDEN_ADMIN_SECRETS", "alice:not-the-secret-of-alice")
    assert "is not one of the service's" in run("decisions", exit_code=2).stderr


def test_where_nobody_answers_the_way_out_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTWARDEN_ADMIN_URL", "http://127.0.0.1:9")
    assert "PICTWARDEN_ADMIN_URL" in run("decisions", exit_code=2).stderr


# Times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", NOON - timedelta(minutes=90)),
        ("36H", NOON - timedelta(hours=36)),
        (" 2w ", NOON - timedelta(weeks=2)),
        ("2026-01-31T13:00:00+01:00", NOON),
        ("2026-01-31T12:00:00Z", NOON),
    ],
)
def test_times_are_written_as_rfc_3339_or_as_durations(text: str, expected: datetime) -> None:
    assert moment(text, NOON) == expected


@pytest.mark.parametrize("text", ["", "soon", "5", "m", "-5m", "5 months", "999999999w", "2026-13-01"])
def test_other_times_are_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(ValueError, match="write a time such as"):
        moment(text, NOON)


# why --who


def test_why_names_who_brought_a_picture_if_it_is_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    monkeypatch.setenv(API_KEY_ENV, API_KEY)
    with _standing_in() as (pictrs, lemmy):
        settings = parse_settings({"pictrs": {"url": pictrs.url}, "lemmy": {"url": lemmy.url}})
        with running_admin_service(settings) as service:
            monkeypatch.setenv("PICTWARDEN_ADMIN_URL", service.url)
            service.record(decision(1, LET_THROUGH, kept=True))
            alias = pictrs.store(FILE)
            lemmy.upload(alias, NOON + timedelta(seconds=2))
            lemmy.post(7, url=f"https://lemmy.example/pictrs/image/{alias}")
            assert "alice@lemmy.example" not in run("why", FILE_SHA256).output
            assert lemmy.requests == []
            told = run("why", FILE_SHA256, "--who").output
            assert f"{1:032x}" in told
            assert "uploaded by  alice@lemmy.example" in told
            assert "shown by     post 7 of alice@lemmy.example: https://lemmy.example/post/7" in told
            first, second = run("why", FILE_SHA256, "--who", "--json").output.splitlines()
            assert Decisions.model_validate_json(first).decisions
            assert UploadersAnswer.model_validate_json(second).uploads[0].person == "alice@lemmy.example"


def test_why_says_what_to_set_before_it_can_name_anybody(admin: AdminService, run: Run) -> None:
    admin.record(decision(1, LET_THROUGH, kept=True))
    assert "lemmy.url is not set" in run("why", FILE_SHA256, "--who", exit_code=2).stderr


@contextlib.contextmanager
def _standing_in() -> Iterator[tuple[StandIn, Lemmy]]:
    """pict-rs and Lemmy, in a thread beside the command."""
    loop, stack = asyncio.new_event_loop(), contextlib.AsyncExitStack()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[StandIn, Lemmy]:
        pictrs = await stack.enter_async_context(standing_in())
        return pictrs, await stack.enter_async_context(lemmy_standing_in("v3"))

    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
