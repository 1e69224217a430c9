"""``pictwarden calibrate``: scores from this process or a service, and a policy beside the first."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from serve_app.admin_api import Decisions, ScoredDecisions
from serve_app.calibration.binomial import upper_bound
from serve_app.cli.admin.connection import AdminConnection
from serve_app.cli.calibration import scorers
from serve_app.cli.main import app
from serve_app.domain import LabelScores
from serve_app.models import with_faces
from serve_app.models.fake import FakeEngine
from serve_app.policy import load_policy
from tests.unit.cli.whole_service import running_service

POLICY = """\
# My own remarks.
policy: colours
model: fake
concepts:
  red: {score: cosine, prompts: [a red view]}
rules:
  - name: no-red
    verdict: reject
    when: {concept: red, above: 0.9} # a guess
  - {name: blue, verdict: off, when: {concept: red, above: 0.1}}
"""
PICTURES = 60

Calibrate = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """60 pictures, each a little redder than the one before; two copies of the reddest, and a file that is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("p.yaml").write_text(POLICY, "utf-8")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(PICTURES):
        Image.new("RGB", (16, 16), (4 * number, 0, 0)).save(pictures / f"{number:02}.png")
    (pictures / "copy [1].png").write_bytes((pictures / "59.png").read_bytes())
    (pictures / "notes.txt").write_text("no picture", "ascii")
    return pictures


@pytest.fixture
def calibrate(folder: Path) -> Calibrate:
    def calibrate(*options: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, ["calibrate", "p.yaml", str(folder), *options])
        assert result.exit_code == exit_code, result.output
        return result

    return calibrate


def test_thresholds_move_until_no_more_pictures_than_are_allowed_are_over_them(calibrate: Calibrate) -> None:
    told = calibrate("--here", "--budget", "5%")
    assert "60 distinct pictures (1 copy or near-duplicate left out); at most 0 may be false positives" in told.output
    policy = load_policy("p.calibrated.yaml")
    assert policy.calibration is not None
    (rule,) = policy.calibration.rules
    assert (rule.rule, rule.budget, rule.allowed, rule.false_positives) == ("no-red", 0.05, 0, 0)
    assert rule.bound == pytest.approx(0.0487, abs=1e-4)
    assert policy.calibration.pictures == PICTURES
    text = Path("p.calibrated.yaml").read_text("utf-8")
    # The reddest is 236 / 255 = 0.92549.
    assert "    when: {concept: red, above: 0.92549" in text
    assert "# a guess" in text
    assert "# My own remarks." in text
    assert "when: {concept: red, above: 0.1}}" in text
    assert Path("p.yaml").read_text("utf-8") == POLICY
    nearest = told.output[told.output.index("nearest to the new line of no-red") :].splitlines()
    assert [line.split()[0] for line in nearest[1:4]] == ["59.png", "58.png", "57.png"]
    assert "1 files left out: not scanned: unsupported" in told.stderr


@pytest.mark.slow
def test_a_service_gives_the_same_thresholds_as_this_process(
    calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrate("--here", "--budget", "5%", "--output", "here.yaml")
    with running_service(load_policy("p.yaml")) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        calibrate("--budget", "5%", "--scores", "of-service.jsonl")
    here, there = (load_policy(name).calibration for name in ("here.yaml", "p.calibrated.yaml"))
    assert here is not None
    assert there is not None
    assert (here.pictures_digest, here.models) == (there.pictures_digest, there.models)
    # A database records float16: the threshold lies higher by its rounding, never lower.
    assert 0 <= there.rules[0].moved - here.rules[0].moved < 0.001


@pytest.mark.slow
def test_a_service_that_does_not_score_the_prompts_is_told_apart(
    calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = POLICY.replace("a red view", "a green view")
    Path("other.yaml").write_text(other, "utf-8")
    with running_service(load_policy("other.yaml")) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        told = calibrate("--budget", "5%", exit_code=2)
    assert "the service has not scored 'a red view': make colours its policy or its shadow_policy" in told.stderr


def test_too_few_pictures_are_told_with_how_many_are_missing(calibrate: Calibrate) -> None:
    told = calibrate("--here", exit_code=1)
    assert "60 distinct pictures (1 copy or near-duplicate left out) cannot prove" in told.output
    assert "add 538 distinct pictures, or choose a larger budget" in told.output
    assert not Path("p.calibrated.yaml").exists()


def test_an_interrupted_run_continues_and_records_no_picture(
    calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, seen = FakeEngine.encode, []

    def interrupt_in_the_second_pass(self: FakeEngine, uploaded: Any) -> Any:
        seen.append(len(uploaded))
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return encode(self, uploaded)

    monkeypatch.setattr(FakeEngine, "encode", interrupt_in_the_second_pass)
    assert (
        "interrupted: run the same command to continue" in calibrate("--here", "--budget", "5%", exit_code=130).stderr
    )
    file = Path(".pictwarden/scores.jsonl")
    assert file.stat().st_mode & 0o777 == 0o600
    with file.open("a", encoding="ascii") as stream:
        stream.write('{"sha256": "half a li')
    told = calibrate("--here", "--budget", "5%")
    assert "16 pictures already had scores in .pictwarden/scores.jsonl" in told.stderr
    assert sum(seen) == PICTURES + 1  # the copy was decoded ahead, before the scores of its neighbour were recorded
    first, *others = (json.loads(line) for line in file.read_text("ascii").splitlines() if line.endswith("}"))
    assert (first["model"]["name"], first["labels"]) == ("fake", ["a red view"])
    pictures = [each for each in others if "sha256" in each]
    assert {frozenset(each) for each in pictures} == {frozenset({"sha256", "views", "values", "fingerprint"})}
    assert len({each["sha256"] for each in pictures}) == PICTURES


def test_scores_of_two_models_are_not_mixed(calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch) -> None:
    scored = iter(["1", "2"] * PICTURES)

    def scores_of(engine: Any, *pictures: Any) -> list[LabelScores]:
        together = with_faces.scores_of(engine, *pictures)
        return [replace(one, model=replace(one.model, digest=next(scored) * 64)) for one in together]

    monkeypatch.setattr(scorers, "scores_of", scores_of)
    assert "name another file with --scores" in calibrate("--here", "--budget", "5%", exit_code=2).stderr


@pytest.mark.parametrize("budget", ["0", "0%", "51%", "none", "nan", "-1%"])
def test_a_budget_is_a_share(calibrate: Calibrate, budget: str) -> None:
    assert "a budget is written as 0.5% or 0.005" in calibrate("--here", "--budget", budget, exit_code=2).stderr


def test_nothing_is_overwritten(calibrate: Calibrate) -> None:
    Path("p.calibrated.yaml").write_text("mine", "ascii")
    assert "p.calibrated.yaml is there already" in calibrate("--here", "--budget", "5%", exit_code=2).stderr
    assert Path("p.calibrated.yaml").read_text("ascii") == "mine"


def test_a_calibrated_policy_can_be_calibrated_again(calibrate: Calibrate) -> None:
    calibrate("--here", "--budget", "5%")
    Path("p.calibrated.yaml").rename("p.yaml")
    calibrate("--here", "--budget", "20%")
    text = Path("p.calibrated.yaml").read_text("utf-8")
    assert (text.count("# Calibrated on "), text.count("\ncalibration:")) == (1, 1)


ROOM = POLICY.replace("above: 0.9}", "above: 0.95}")


def test_thresholds_stay_where_the_budget_has_room(calibrate: Calibrate) -> None:
    Path("p.yaml").write_text(ROOM, "utf-8")
    told = calibrate("--here", "--budget", "20%").output
    assert "rule no-red: its thresholds stay, although the budget has room: --may-lower lets them fall" in told
    policy = load_policy("p.calibrated.yaml")
    assert policy.digest == load_policy("p.yaml").digest
    assert policy.calibration is not None
    (rule,) = policy.calibration.rules
    # What is allowed was fixed before the scores were looked at, and so the bound is that of what is allowed.
    assert (rule.moved, rule.false_positives, rule.allowed) == (0.0, 0, 6)
    assert rule.bound == pytest.approx(upper_bound(6, PICTURES), abs=1e-6)


def test_thresholds_fall_where_they_may(calibrate: Calibrate) -> None:
    Path("p.yaml").write_text(ROOM, "utf-8")
    told = calibrate("--here", "--budget", "20%", "--may-lower").output
    assert "rule no-red: its thresholds fall, since the budget has room" in told
    policy = load_policy("p.calibrated.yaml")
    assert policy.calibration is not None
    assert policy.calibration.rules[0].moved < 0
    assert policy.calibration.rules[0].false_positives == policy.calibration.rules[0].allowed


HEAD = """\
policy: heads
model: fake
concepts:
  spam: {score: head, file: spam.safetensors, digest: 0123456789ab}
rules:
  - {name: no-spam, verdict: flag, when: {concept: spam, above: 0.5}}
"""


def test_a_policy_is_not_written_where_it_would_miss_its_head(calibrate: Calibrate, tmp_path: Path) -> None:
    Path("elsewhere").mkdir()
    Path("p.yaml").write_text(HEAD, "utf-8")
    told = calibrate("--here", "--output", "elsewhere/q.yaml", exit_code=2).stderr
    assert "choose an --output in the folder of the policy, or write the whole path of the head in the policy" in told
    # Where the head would be found, the next error is that there is none.
    whole_path = HEAD.replace("spam.safetensors", str(tmp_path / "spam.safetensors"))
    for text, output in ((HEAD, "elsewhere/../q.yaml"), (whole_path, "elsewhere/q.yaml")):
        Path("p.yaml").write_text(text, "utf-8")
        told = calibrate("--here", "--output", output, exit_code=2).stderr
        assert "spam.safetensors" in told
        assert "choose an --output" not in told


def test_nobody_to_ask_is_told(calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PICTWARDEN_URL", raising=False)
    assert "no service is known here" in calibrate("--budget", "5%", exit_code=2).stderr
    told = calibrate("--model", "fake", "--budget", "5%", exit_code=2)
    assert "--model is for a model of --here" in told.stderr


def test_the_plot_says_what_it_needs(calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    told = calibrate("--here", "--budget", "5%").stderr
    assert "no plot: it needs matplotlib, which is not installed: run " in told
    assert "pip install -e '.[calibrate]'" in told
    assert not Path("p.calibrated.svg").exists()


def test_the_plot_lies_beside_the_policy(calibrate: Calibrate) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra calibrate")
    assert "plot: p.calibrated.svg" in calibrate("--here", "--budget", "5%").stderr
    assert "upper bound" not in Path("p.yaml").read_text("utf-8")
    assert Path("p.calibrated.svg").read_text("utf-8").startswith("<?xml")


@pytest.mark.slow
def test_a_decision_that_waits_for_the_database_is_asked_for_again(
    calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    get, asked = AdminConnection.get, Counter[str]()

    def late(self: AdminConnection, shape: Any, path: str, params: Any = None) -> Any:
        asked[path] += 1
        if path.endswith("/scores") and asked[path] == 1:
            return ScoredDecisions(models=[], label_sets=[], decisions=[], cursor=None)
        return get(self, shape, path, params)

    monkeypatch.setattr(AdminConnection, "get", late)
    monkeypatch.setattr(scorers, "_LEDGER_ASKED_EVERY_S", 0.0)
    with running_service(load_policy("p.yaml")) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        told = calibrate("--budget", "5%")
    assert "60 distinct pictures" in told.output


@pytest.mark.slow
def test_no_picture_is_sent_to_a_service_that_tells_no_scores(
    calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_service(load_policy("p.yaml")) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PICTWARDEN_ADMIN_SECRETS", "alice:a-secret-of-nobody")
        told = calibrate("--budget", "5%", exit_code=2)
        assert "the secret in PICTWARDEN_ADMIN_SECRETS is not one of the service's" in told.stderr
        monkeypatch.setenv("PICTWARDEN_ADMIN_SECRETS", environment["PICTWARDEN_ADMIN_SECRETS"])
        decisions = AdminConnection().get(Decisions, "/decisions")
    assert decisions.decisions == []
