"""``pictwarden train``: a head from two folders, and a policy that uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from serve_app.cli.calibration import training
from serve_app.cli.main import app
from serve_app.models.heads import read_head
from serve_app.policy import load_policy, parse_policy
from tests.unit.cli.whole_service import running_service

Train = Callable[..., Result]

POLICY = """\
policy: colours
model: fake
concepts:
  red: {score: cosine, prompts: [a red view]}
rules:
  - {name: no-red, verdict: reject, when: {concept: red, above: 0.9}}
"""

COUNT = 24


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """In a folder with red pictures, and with green and blue ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for folder in ("red", "others"):
        Path(folder).mkdir()
    for number in range(COUNT):
        light = 100 + 5 * number
        Image.new("RGB", (16, 16), (light, number, 10)).save(Path("red") / f"{number}.png")
        Image.new("RGB", (16, 16), (number, 10, light)).save(Path("others") / f"{number}.png")
    Path("red/notes.txt").write_text("no picture", "ascii")

    def train(*options: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, ["train", "reds", "--model", "fake", *options])
        assert result.exit_code == exit_code, result.output
        return result

    return train


BOTH = ("--positive", "red", "--negative", "others")


def test_the_printed_policy_uses_the_head_and_is_right_about_other_pictures(train: Train) -> None:
    told = train(*BOTH)
    assert "at a threshold of 0.5: 0 of 24 missed (0.0% to 14.2% with 95 % confidence); 0 of 24 mistaken" in told.stdout
    assert "1 files left out: not scanned: unsupported" in told.stderr
    policy = "policy: reds\n" + told.stdout[told.stdout.index('model: "fake"') :]
    Path("policy.yaml").write_text(policy, "utf-8")
    (head,) = load_policy("policy.yaml").heads.values()
    assert read_head(head).trained_on["positive_pictures"] == str(COUNT)

    Path("new").mkdir()
    for number in range(5):
        Image.new("RGB", (16, 16), (150 + number, 40, 0)).save(Path("new") / f"red{number}.png")
        Image.new("RGB", (16, 16), (0, 150 + number, 40)).save(Path("new") / f"green{number}.png")
    rows = [f"{kind}{number}.png,{'reds' * (kind == 'red')}" for kind in ("red", "green") for number in range(5)]
    Path("labels.csv").write_text("\n".join(["picture,rules", *rows]), "utf-8")
    options = ["policy.yaml", "new", "--here", "--labels", "labels.csv"]
    card = CliRunner().invoke(app, ["evaluate", *options])
    assert card.exit_code == 0, card.output
    assert "| reds (flag) | false positives: 0 of 5 " in card.output
    assert "| reds (flag) | detected: 5 of 5 " in card.output


def test_a_second_run_computes_no_embedding_again_and_overwrites_nothing(train: Train) -> None:
    train(*BOTH)
    assert "reds.safetensors is there already" in train(*BOTH, exit_code=2).stderr
    again = train(*BOTH, "--output", "again.safetensors")
    assert f"{COUNT} pictures already had scores" in again.stderr
    assert Path("again.safetensors").read_bytes() == Path("reds.safetensors").read_bytes()


def test_too_few_pictures_are_counted(train: Train) -> None:
    for number in range(6, COUNT):
        Path(f"others/{number}.png").unlink()
    assert "6 distinct pictures do not show it: add 14" in train(*BOTH, exit_code=1).stderr
    assert not Path("reds.safetensors").exists()


def test_a_model_that_sees_no_difference_is_told(train: Train) -> None:
    for number in range(COUNT):
        for place, folder in enumerate(("red", "others")):
            # The same colour on average: the fake model sees nothing else.
            picture = Image.new("RGB", (16, 16), (number, 0, 0))
            picture.putpixel((place, 0), (number, 0, 1))
            picture.save(f"{folder}/{number}.png")
    assert "this model does not see reds" in train(*BOTH, exit_code=1).stderr


def test_a_picture_of_both_kinds_is_refused(train: Train) -> None:
    Path("others/same.png").write_bytes(Path("red/3.png").read_bytes())
    clouds = Image.effect_noise((12, 12), 90).resize((256, 256), Image.Resampling.BICUBIC).convert("RGB")
    clouds.save("red/large.png")
    clouds.resize((192, 192)).save("others/small.png")
    told = train(*BOTH, exit_code=2).stderr
    assert "remove one of each pair, which are copies or near-duplicates of both kinds: " in told
    assert "3.png and same.png" in told
    assert "large.png and small.png" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--positive", "red"), "name a folder with --negative"),
        (("--negative", "red"), "name a folder with --positive"),
        (("--positive", "red", "--negative", "nowhere"), "no such file or folder: nowhere"),
        ((*BOTH, "--bank", "spam"), "--bank says which denied pictures count of the folder --corrected"),
        ((*BOTH, "--output", "nowhere/reds.safetensors"), "cannot be written: choose another place"),
        (("--positive", "red", "--negative", "nothing"), "no picture in nothing could be scored"),
    ],
)
def test_what_cannot_be_trained_on_is_told(
    train: Train, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    Path("nothing").mkdir()
    if "nothing" not in options:  # all of these are found before any picture is scored
        monkeypatch.setattr(training, "open_embedding", None)
    assert message in train(*options, exit_code=2).stderr


@pytest.mark.slow
def test_pictures_that_people_have_corrected_count(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("originals").mkdir()
    for folder in ("red", "others"):
        for number in range(4):
            Path(f"{folder}/{number}.png").rename(f"originals/{folder}{number}.png")
    Path("originals/unknown.png").write_bytes(Path("red/9.png").read_bytes() + b"unknown")
    with running_service(parse_policy(POLICY, "p.yaml")) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for folder, kind in (("red", "--deny"), ("others", "--allow")):
            for number in range(4):
                options = ["list", "add", f"originals/{folder}{number}.png", kind, "--reason", "corrected"]
                options += ["--bank", "reds"] if kind == "--deny" else []
                listed = CliRunner().invoke(app, options)
                assert listed.exit_code == 0, listed.output
        corrected = (*BOTH, "--corrected", "originals")
        assert "0 of 24 missed" in train(*corrected, "--bank", "reds").stdout
        other_bank = train(*corrected, "--output", "other-bank.safetensors")
        assert "of 9 files of originals, 0 are denied in the bank denied, and 4 are allowed" in other_bank.stderr
        assert "of 20 missed" in other_bank.stdout
