"""``pictwarden policy replay``, against the admin API itself."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from serve_app.domain import (
    Decision,
    Examination,
    FrameFingerprint,
    Judged,
    LabelScores,
    ModelIdentity,
    Unscanned,
    UnscannedReason,
    ViewPlace,
)
from serve_app.policy import evaluate, parse_policy
from tests.unit.cli.admin_service import AdminService, Run

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
TEXT = """\
policy: colours
model: demo
concepts:
  red: {score: cosine, prompts: [red]}
  blue: {score: cosine, prompts: [blue]}
rules:
  - {name: no-red, verdict: reject, when: {concept: red, above: 0.2}}
  - {name: no-blue, verdict: flag, when: {concept: blue, above: 0.2}}
"""
OLD = parse_policy(TEXT, "old.yaml")
MODEL = ModelIdentity("demo", "a" * 64, 224, derived_from="b" * 64)
WHOLE, LEFT = ViewPlace(0, (0.0, 0.0, 1.0, 1.0)), ViewPlace(3, (0.0, 0.0, 0.5, 1.0))
FINGERPRINT = FrameFingerprint(0, 90, bytes(range(256)))


def decision(number: int, red: float = 0.0, blue: float = 0.0) -> Decision:
    """A decision on a picture of two views, of which the second has these colours."""
    cosines = np.array([[0.0, 0.0], [red, blue]], np.float32)[:, [("red", "blue").index(each) for each in OLD.labels]]
    scores = LabelScores(cosines, 100.0, MODEL)
    judgement = evaluate(OLD, scores)
    places = (WHOLE, LEFT)
    return Decision(
        f"{number:032x}",
        NOON + timedelta(seconds=number),
        f"{number:064x}",
        1234,
        Judged(judgement, places[judgement.view], "image/gif", 2, 2, 90),
        judgement.verdict.keeps_picture,
        MODEL,
        OLD.name,
        OLD.digest,
        12.5,
        examination=Examination(scores, places, "image/gif", 2, 90, fingerprints=(FINGERPRINT,)),
        labels=OLD.labels,
    )


@pytest.fixture
def replay(run: Run, tmp_path: Path) -> Run:
    """Replay a policy with these thresholds of the old one replaced."""

    def replay(*options: str, exit_code: int = 0, **replaced: str) -> Result:
        text = TEXT
        for concept, thresholds in replaced.items():
            text = text.replace(f"concept: {concept}, above: 0.2", f"concept: {concept}, above: {thresholds}")
        file = tmp_path / "new.yaml"
        file.write_text(text, "utf-8")
        return run("policy", "replay", str(file), *options, exit_code=exit_code)

    return replay


def cells(result: Result, first: str) -> list[str]:
    """The cells of the line that begins with ``first``."""
    (line,) = (line for line in result.output.splitlines() if line.startswith(first))
    return line.removeprefix(first).split()


def differences(result: Result) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(result.output)["differences"]
    return told


def test_changes_are_counted_by_rule_and_the_differing_decisions_listed_newest_first(
    admin: AdminService, replay: Run
) -> None:
    admin.record(decision(1, red=0.15), decision(2, red=0.3), decision(3, red=0.12), decision(4, blue=0.25))
    told = replay(red="0.1", blue="0.28")
    assert "4 of 4 decisions were made again" in told.output
    assert cells(told, "rule no-red") == ["1", "2", "0", "0"]
    assert cells(told, "rule no-blue") == ["0", "0", "1", "0"]
    assert cells(told, "together") == ["1", "2", "1", "0"]
    lines = told.output.splitlines()
    listed = lines[next(number for number, line in enumerate(lines) if "margin" in line) + 1 :]
    assert [line.split()[-1] for line in listed] == [f"{number:032x}" for number in (4, 3, 1)]
    assert "flag → accept" in listed[0]
    assert "rule no-blue → no rule held" in listed[0]
    assert "accept → reject" in listed[1]
    assert "+0.020" in listed[1]


def test_everything_is_there_for_scripts(admin: AdminService, replay: Run) -> None:
    admin.record(*(decision(number, red=0.15) for number in range(60)))
    told = replay("--json", red="0.1")
    assert len(differences(told)) == 60
    newest = differences(told)[0]
    margin = newest.pop("margin")
    assert margin == pytest.approx(0.05, abs=0.001)
    assert newest == {
        "id": f"{59:032x}",
        "decided_at": (NOON + timedelta(seconds=59)).isoformat(),
        "sha256": f"{59:064x}",
        "source": "unnamed",
        "verdict": "accept",
        "rule": None,
        "new_verdict": "reject",
        "new_rule": "no-red",
        "is_certain": True,
        "view": {"frame": 3, "left": 0.0, "top": 0.0, "right": 0.5, "bottom": 1.0},
    }
    whole = json.loads(told.output)
    assert (whole["complete"], whole["replayed"]) == (True, 60)
    assert whole["rules"][0] == {"rule": "no-red", "same": 0, "stricter": 60, "looser": 0, "uncertain": 0}
    assert "10 more decisions differ" in replay(red="0.1").output


def test_where_recorded_scores_do_not_suffice_is_said_plainly(admin: AdminService, replay: Run) -> None:
    other = ModelIdentity("other", "d" * 64, 224)
    seen = decision(4).examination
    assert seen is not None
    of_other = replace(seen, scores=replace(seen.scores, model=other))
    without_blue = replace(seen, scores=replace(seen.scores, values=seen.scores.values[:, :1]))
    admin.record(
        decision(1),
        replace(decision(2), outcome=Unscanned(UnscannedReason.DEADLINE, "no time was left"), examination=None),
        replace(decision(3), examination=None),
        replace(decision(4), model=other, examination=of_other),
        replace(decision(5), examination=without_blue, labels=("red",)),
        decision(6, red=0.2001),
    )
    told = replay(red="0.20011").output
    assert "2 of 6 decisions were made again" in told
    assert "4 cannot be made again:" in told
    assert "1: the policy did not decide" in told
    assert "1: their scores are not recorded any more" in told
    assert "1: another model scored than demo" in told
    assert "1: labels of the new policy were never scored: 'blue' on 1" in told
    assert "reject → accept (uncertain)" in told


def test_only_the_time_that_was_asked_for_is_looked_at(admin: AdminService, replay: Run) -> None:
    admin.record(*(decision(number, red=0.15) for number in range(4)))
    since, until = ((NOON + timedelta(seconds=second)).isoformat() for second in (1, 3))
    told = replay("--since", since, "--until", until, "--json", red="0.1")
    assert [each["id"] for each in differences(told)] == [f"{number:032x}" for number in (2, 1)]
    assert "0 of 0 decisions" in replay("--since", "1h").output
    replay("--since", "soon", exit_code=2)


def test_ctrl_c_ends_it_in_order_with_what_it_has(
    admin: AdminService, replay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.record(*(decision(number) for number in range(501)))
    search = admin.ledger.search

    async def interrupt(*args: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return await search(*args, **options)

    monkeypatch.setattr(admin.ledger, "search", interrupt)
    told = replay("--json", exit_code=130)
    assert (json.loads(told.output)["complete"], json.loads(told.output)["replayed"]) == (False, 500)
    assert "interrupted" in replay(exit_code=130).output


def test_a_wrong_policy_asks_nobody(admin: AdminService, replay: Run) -> None:
    assert "0.2.2" in replay(red="0.2.2", exit_code=2).stderr
    assert admin.actions() == []
