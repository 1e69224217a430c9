"""``pictwarden evaluate``: rates of a policy, or of two, as a card for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from serve_app.cli.calibration.measuring import Measuring
from serve_app.cli.calibration.scored_folder import ScoredFolder
from serve_app.cli.main import app
from serve_app.policy import Policy

POLICY = """\
policy: colours
model: fake
concepts:
  red: {score: cosine, prompts: [a red view]}
rules:
  - {name: no-red, verdict: reject, when: {concept: red, above: 0.5}}
  - {name: reddish, verdict: flag, when: {concept: red, above: 0.25}}
"""

Evaluate = Callable[..., Result]


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Ten pictures, each redder than the one before, the first one black; and a policy that refuses the last four."""
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(POLICY, "utf-8")
    Path("pictures", "of mine").mkdir(parents=True)
    for number in range(10):
        Image.new("RGB", (16, 16), (25 * number, 0, 0)).save(Path("pictures", "of mine", f"{number}.png"))

    def evaluate(*options: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, ["evaluate", "p.yaml", "pictures", "--here", *options])
        assert result.exit_code == exit_code, result.output
        return result

    return evaluate


def row(card: str, *beginning: str) -> list[str]:
    """The cells of the line that begins with these cells."""
    start = "| " + " | ".join(beginning)
    (line,) = (line for line in card.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_a_card_says_beside_each_number_what_was_measured_and_what_was_not(evaluate: Evaluate) -> None:
    card = evaluate("--set", "ten [drawn] *reds*").stdout
    assert card.startswith("# colours: measured rates\n")
    assert r"Pictures: ten \[drawn\] \*reds\*; 10 distinct ones, 0 copies" in card
    assert row(card, "no-red (reject)", "false positives") == [
        "no-red (reject)",
        "false positives: 4 of 10 (40.000%)",
        "12.155% to 73.762%",
        "pictures of this set for which the rule should not hold",
        "other kinds of pictures than this set has",
    ]
    assert row(card, "no-red (reject)", "detected")[1:4] == ["detected: not measured", "none", "nothing"]
    assert row(card, "*any*", "flagged")[1] == "flagged: 3 of 10 (30.000%)"
    assert "This policy is not calibrated" in card


def test_labels_make_detections_of_false_positives(evaluate: Evaluate) -> None:
    lines = ["picture,rules,note", *(f"of mine/{number}.png,no-red reddish," for number in (3, 9)), "of mine/0.png,,"]
    Path("labels.csv").write_text("\n".join(lines), "utf-8")
    card = evaluate("--labels", "labels.csv").stdout
    assert "3 distinct ones" in card
    assert row(card, "no-red (reject)", "false positives")[1] == "false positives: 0 of 1 (0.000%)"
    assert row(card, "no-red (reject)", "detected")[1] == "detected: 1 of 2 (50.000%)"
    assert row(card, "reddish (flag)", "detected")[1] == "detected: 2 of 2 (100.000%)"


def test_two_policies_are_side_by_side_on_the_same_pictures(evaluate: Evaluate) -> None:
    stricter = POLICY.replace("colours", "stricter").replace("above: 0.5", "above: 0.05")
    Path("stricter.yaml").write_text(stricter.replace("a red view", "a view of red"), "utf-8")
    card = evaluate("--against", "stricter.yaml").stdout
    assert card.startswith("# colours and stricter: measured rates\n")
    assert row(card, "no rule should hold")[1:] == ["4", "0", "5", "1", "0.0625"]
    assert row(card, "a rule should hold")[-1] == "not measured"


def stricter_without(picture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the policy ``stricter``, for which one picture cannot be scored."""
    Path("stricter.yaml").write_text(POLICY.replace("colours", "stricter"), "utf-8")
    score = Measuring.score

    def scored(self: Measuring, folder: Path, policy: Policy, console: Console) -> ScoredFolder:
        found = score(self, folder, policy, console)
        if policy.name == "stricter":
            found.pictures = [each for each in found.pictures if each.name != picture]
        return found

    monkeypatch.setattr(Measuring, "score", scored)


def test_a_picture_that_only_one_policy_has_scores_for_is_no_copy(
    evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    stricter_without("of mine/9.png", monkeypatch)
    card = evaluate("--against", "stricter.yaml").stdout
    assert "9 distinct ones, 0 copies" in card
    assert "* Left out: 1 that have scores for only one policy\n" in card
    assert "Left out" not in evaluate().stdout


def test_labels_may_name_a_picture_that_only_one_policy_has_scores_for(
    evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    stricter_without("of mine/9.png", monkeypatch)
    Path("labels.csv").write_text("picture,rules\nof mine/9.png,no-red\nof mine/8.png,no-red\n", "utf-8")
    card = evaluate("--against", "stricter.yaml", "--labels", "labels.csv").stdout
    assert "1 distinct ones, 0 copies" in card
    assert "* Left out: 1 that" in card


def test_the_card_is_written_as_markdown_and_as_a_page(evaluate: Evaluate) -> None:
    assert evaluate("--output", "card.md").stdout == "written: card.md, card.html\n"
    page = Path("card.html").read_text("utf-8")
    assert Path("card.md").read_text("utf-8").startswith("# colours")
    assert "<td>no-red (reject)</td>" in page
    assert "<title>colours</title>" in page


def test_no_name_of_a_set_becomes_part_of_the_page(evaluate: Evaluate) -> None:
    evaluate("--set", "<script>alert(1)</script> [x](javascript:alert) | ![y](z)", "--output", "card.md")
    page = Path("card.html").read_text("utf-8")
    assert "<script" not in page
    assert "href" not in page
    assert "<img" not in page


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("file,rule\na,b", "labels.csv: the first line must name the columns picture and rules"),
        ("picture,rules\nof mine/0.png,no-blue", "labels.csv:2: no rule 'no-blue' in the policy"),
        ("picture,rules\nof mine/0.png,\nof mine/0.png,", "labels.csv:3: each picture needs one line"),
        ("picture,rules\ngone.png,", "the labels name gone.png, of which there are no scores"),
        ('picture,rules\n"of', "labels.csv: not a CSV file in UTF-8"),
        ("picture,rules\n", "no picture in pictures that labels.csv names could be scored"),
    ],
)
def test_wrong_labels_are_told_with_their_line(evaluate: Evaluate, labels: str, message: str) -> None:
    Path("labels.csv").write_text(labels, "utf-8")
    assert message in evaluate("--labels", "labels.csv", exit_code=2).stderr
