"""The command, from its options to its three files, on a short load."""

import json

import pytest
import typer

from benchmarks import autoscaling
from benchmarks.autoscaler_comparison import Scenario
from benchmarks.demand import step


@pytest.fixture(autouse=True)
def short_load(monkeypatch):
    short = Scenario("short", "A short load.", step(20.0, 60.0, 10.0), 60.0, 40.0)
    monkeypatch.setattr(autoscaling, "scenarios", lambda picture_s: [short])


def run(out, **options):
    with pytest.raises(typer.Exit) as ended:
        autoscaling.bench(out=out, **options)
    (path,) = out.glob("autoscaling-*.json")
    report = json.loads(path.read_text("utf-8"))
    assert ended.value.exit_code == (0 if report["holds"] else 1)
    return report


def test_each_policy_has_the_same_pictures_and_a_line_in_each_plot(tmp_path):
    report = run(tmp_path, pass_ms="1:50,4:100", count=[4.0], start_s=5.0)
    played, both = report["sections"]
    names = ["count 64 (before)", "count 4", "queue delay"]
    assert [row[0] for row in played["table"]["rows"]] == names
    assert len({row[1] for row in played["table"]["rows"]}) == 1
    assert [each["name"] for each in played["plots"][0]["series"]] == [*names, "offered work"]
    assert [row[0] for row in both["table"]["rows"]] == names
    assert report["machine"]["ms of a pass by batch size"] == "1: 50.0, 4: 100.0"


def test_the_passes_of_this_machine_are_measured(tmp_path):
    report = run(tmp_path, model="fake", count=[], start_s=5.0)
    assert report["machine"]["simulated device"].startswith("fake, ")


def test_pass_times_that_are_none_are_refused(tmp_path):
    with pytest.raises(typer.BadParameter, match="1:6,8:15"):
        autoscaling.bench(pass_ms="fast", out=tmp_path)
