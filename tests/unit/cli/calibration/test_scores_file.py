"""Recorded scores survive the end of a process, with whatever models scored."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest

from serve_app.cli.calibration.scores_file import RecordedPicture, ScoresFile
from serve_app.domain import FrameFingerprint, LabelScores, ModelIdentity, SettingsError
from serve_app.domain.limits import MEDIA_VERSION

CLIP = ModelIdentity("clip", "a" * 64, 224, notice="a demo", derived_from="c" * 64)
TOGETHER = ModelIdentity.together([CLIP, ModelIdentity("open-nsfw", "b" * 64, 224)])
SEEN = FrameFingerprint(2, 90, bytes(range(256)))


def picture(model: ModelIdentity, *labels: str, fingerprint: FrameFingerprint | None = SEEN) -> RecordedPicture:
    values = np.arange(2 * len(labels), dtype=np.float32).reshape(2, -1) / np.float32(7)
    values[0, 0] = np.nan
    return RecordedPicture(labels, LabelScores(values, 12.5, model), fingerprint)


def assert_same(one: RecordedPicture, other: RecordedPicture) -> None:
    assert (one.labels, one.fingerprint) == (other.labels, other.fingerprint)
    assert (one.scores.model, one.scores.logit_scale) == (other.scores.model, other.scores.logit_scale)
    np.testing.assert_array_equal(one.scores.values, other.scores.values)


def test_scores_of_several_models_and_labels_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "state" / "scores.jsonl"
    first, second = picture(TOGETHER, "red", "größer"), picture(CLIP, "blue", fingerprint=None)
    with ScoresFile.open(file) as scores:
        scores.add("1" * 64, first)
        scores.add("2" * 64, second)
        scores.add("1" * 64, second)
        assert_same(scores.of("1" * 64)[0], second)
    with ScoresFile.open(file) as scores:
        latest, earlier = scores.of("1" * 64)
        assert_same(latest, second)
        assert_same(earlier, first)
        assert_same(scores.of("2" * 64)[0], second)
        assert scores.of("3" * 64) == []


@pytest.mark.parametrize("left", [1, 40, 300])
def test_half_a_line_is_left_out_and_the_next_one_is_whole(tmp_path: Path, left: int) -> None:
    file = tmp_path / "scores.jsonl"
    with ScoresFile.open(file) as scores:
        scores.add("1" * 64, picture(CLIP, "red"))
        scores.add("2" * 64, picture(CLIP, "red"))
    whole = file.read_bytes()
    second = whole.index(b'"sha256": "2')
    file.write_bytes(whole[: second + left])
    with ScoresFile.open(file) as scores:
        assert (len(scores.of("1" * 64)), scores.of("2" * 64)) == (1, [])
        scores.add("3" * 64, picture(CLIP, "red"))
    with ScoresFile.open(file) as scores:
        assert (len(scores.of("1" * 64)), len(scores.of("3" * 64))) == (1, 1)


@pytest.mark.parametrize("version", [None, 0, MEDIA_VERSION + 1])
def test_scores_of_another_version_of_decoding_are_not_used(tmp_path: Path, version: int | None) -> None:
    file = tmp_path / "scores.jsonl"
    with ScoresFile.open(file) as scores:
        scores.add("1" * 64, picture(CLIP, "red"))
    header, *rest = file.read_text("ascii").splitlines()
    fields = json.loads(header)
    assert fields.pop("media_version") == MEDIA_VERSION
    if version is not None:
        fields["media_version"] = version
    file.write_text("\n".join([json.dumps(fields), *rest, ""]), "ascii")
    with ScoresFile.open(file) as scores:
        assert scores.of("1" * 64) == []
        scores.add("1" * 64, picture(CLIP, "red"))
    with ScoresFile.open(file) as scores:
        (only,) = scores.of("1" * 64)
        assert_same(only, picture(CLIP, "red"))


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"
    file.touch(0o644)
    ScoresFile.open(file).__exit__()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_runs_do_not_write_to_one_file(tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"
    with ScoresFile.open(file), pytest.raises(SettingsError, match=r"another run is writing to .*scores\.jsonl"):
        ScoresFile.open(file)
    with ScoresFile.open(file):
        pass
