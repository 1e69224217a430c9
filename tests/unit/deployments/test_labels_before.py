"""The scorers of a version know the labels of those before, whose ingress replicas still ask for them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deployments.clip_scorer import ClipScorer
from deployments.ingress import until_of_this_version
from deployments.labels_before import KEPT_VERSIONS, with_those_before
from serve_app.domain import (
    NO_FACES,
    Call,
    Deadline,
    LabelScores,
    LoadSignals,
    ModelIdentity,
    OtherVersionError,
    UnavailableError,
    Views,
    output_label,
)
from serve_app.models.agreement import PolicyReference
from serve_app.settings import LogSettings, ModelSettings

RED, GREEN, BLUE = ("red",), ("green",), ("blue",)
OF_A_CLASSIFIER = (output_label("nsfwjs", "porn"),)


class DictTable:
    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def put_if_absent(self, key: str, value: str) -> str | None:
        known = self.values.get(key)
        self.values.setdefault(key, value)
        return known

    def replace(self, key: str, value: str) -> None:
        self.values[key] = value


def test_the_first_version_has_its_own_labels_alone() -> None:
    assert with_those_before((RED, GREEN), "fake", DictTable()) == (RED, GREEN)


def test_a_version_has_the_labels_of_the_one_that_serves_after_one_that_never_became_ready() -> None:
    table = DictTable()
    with_those_before((RED,), "fake", table)
    assert with_those_before((GREEN,), "fake", table) == (GREEN, RED)
    assert with_those_before((BLUE,), "fake", table) == (BLUE, GREEN, RED)


def test_the_same_version_that_fails_again_and_again_displaces_none() -> None:
    table = DictTable()
    with_those_before((RED,), "fake", table)
    for _ in range(KEPT_VERSIONS + 1):
        with_those_before((GREEN,), "fake", table)
    assert with_those_before((BLUE,), "fake", table) == (BLUE, GREEN, RED)


def test_labels_of_long_ago_are_forgotten() -> None:
    table = DictTable()
    versions = [(f"label {number}",) for number in range(KEPT_VERSIONS + 2)]
    *_, last = [with_those_before((labels,), "fake", table) for labels in versions]
    assert last == tuple(reversed(versions[1:]))


def test_a_version_of_older_code_finds_and_leaves_the_latest_labels_where_it_looks() -> None:
    table = DictTable()
    table.values["labels:fake"] = json.dumps([RED])
    assert with_those_before((GREEN,), "fake", table) == (GREEN, RED)
    assert json.loads(table.values["labels:fake"]) == [list(GREEN)]


def test_the_way_back_has_those_of_the_version_that_it_leaves() -> None:
    table = DictTable()
    with_those_before((RED,), "fake", table)
    with_those_before((GREEN,), "fake", table)
    assert with_those_before((RED,), "fake", table) == (RED, GREEN)


def test_the_same_version_again_has_its_labels_once() -> None:
    table = DictTable()
    with_those_before((RED,), "fake", table)
    assert with_those_before((RED,), "fake", table) == (RED,)


def test_another_model_cannot_score_for_the_version_before() -> None:
    table = DictTable()
    with_those_before((RED,), "fake", table)
    assert with_those_before((GREEN,), "fake:5ms", table) == (GREEN,)


def test_no_classifier_is_loaded_for_the_version_before() -> None:
    table = DictTable()
    with_those_before((RED, OF_A_CLASSIFIER), "fake", table)
    assert with_those_before((GREEN,), "fake", table) == (GREEN, RED)


async def test_a_scorer_scores_for_both_versions_and_for_no_third() -> None:
    table = DictTable()
    with_those_before((RED,), "fake", table)
    sets = with_those_before((GREEN,), "fake", table)
    scorer = ClipScorer(ModelSettings(source="fake"), sets, PolicyReference("green.yaml", "0" * 64), 8.0, LogSettings())
    pixels = np.full((1, 8, 8, 3), (255, 0, 0), np.uint8)
    of_red, of_green = [
        await scorer.score(labels, pixels, NO_FACES.pixels, Call("r-1", Deadline.after(8.0)), LoadSignals())
        for labels in (RED, GREEN)
    ]
    assert of_red.values[0, 0] > of_green.values[0, 0]
    with pytest.raises(OtherVersionError):
        await scorer.identify(BLUE)


class Scorers:
    """Answers as the replicas that are asked one after the other do."""

    def __init__(self, *answers: ModelIdentity | Exception) -> None:
        self.answers = list(answers)

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def score(self, views: Views, call: Call, load: LoadSignals) -> LabelScores:
        raise AssertionError("no picture is scored")


IDENTITY = ModelIdentity("fake", "0" * 64, 8)


@pytest.mark.parametrize("last", [IDENTITY, UnavailableError("none runs")])
async def test_an_ingress_replica_is_ready_once_no_scorer_of_another_version_answers(
    last: ModelIdentity | Exception,
) -> None:
    scorers = Scorers(OtherVersionError("old"), OtherVersionError("old"), last)
    await until_of_this_version(scorers)
    assert scorers.answers == []
