"""Scores that a service has recorded: which of a picture's decisions counts, and when none does."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve_app.admin_api import LedgerStatus, ScoredDecisions, ScoredRecord, ScoringModel, ViewScores
from serve_app.cli.admin.connection import AdminConnection
from serve_app.cli.calibration import scorers
from serve_app.cli.calibration.scorers import DecodedPicture, ServiceScorer, SkippedPicture
from serve_app.cli.check.scanning import Scan
from serve_app.domain import ModelIdentity, PolicyError, Verdict, ViewPlace, Views
from serve_app.policy import parse_policy

POLICY = parse_policy(
    """\
policy: colours
model: fake
concepts: {red: {score: cosine, prompts: [a red view]}}
rules: [{name: no-red, verdict: reject, when: {concept: red, above: 0.9}}]
""",
    "p.yaml",
)
NOW = ModelIdentity("fake", "1" * 64, 8)
BEFORE = ModelIdentity("fake", "2" * 64, 8)
OTHER = ModelIdentity("other", "3" * 64, 8)
RED = ("a red view",)
LISTED = "listed"

Told = tuple[str, ModelIdentity, tuple[str, ...] | str, float]
"""A decision: its id, the model, the labels that it scored (or that it is listed), and the score."""


def page(decisions: Iterable[Told]) -> ScoredDecisions:
    models: list[ScoringModel] = []
    label_sets: list[list[str]] = []
    records = []
    for request_id, model, labels, score in decisions:
        seen = None
        if labels != LISTED:
            models.append(ScoringModel(name=model.name, digest=model.digest, image_size_px=8, derived_from=None))
            label_sets.append(list(labels))
            seen = ViewScores(
                model=len(models) - 1,
                labels=len(label_sets) - 1,
                logit_scale=100.0,
                values=np.full(len(labels), score, "<f2").tobytes(),
                places=[(0, 0.0, 0.0, 1.0, 1.0)],
            )
        records.append(
            ScoredRecord(
                id=request_id,
                decided_at=datetime(2026, 11, 26, tzinfo=UTC),
                sha256="a" * 64,
                source="lemmy",
                verdict=Verdict.ACCEPT,
                reason=LISTED if seen is None else "policy",
                rule=None,
                scores=seen,
            )
        )
    return ScoredDecisions(models=models, label_sets=label_sets, decisions=records, cursor=None)


class Ledger(AdminConnection):
    """The admin API of a service whose decisions on each picture are these: one page for each time it is asked."""

    def __init__(self, pages: Mapping[str, list[list[Told]]]) -> None:
        super().__init__("http://127.0.0.1:1", {"PICTWARDEN_ADMIN_SECRETS": "alice:a-secret"})
        self._pages = {name: list(each) for name, each in pages.items()}

    def get(self, shape: type[Any], path: str, params: Mapping[str, str] | None = None) -> Any:
        if shape is LedgerStatus:
            return LedgerStatus(problem=None, spooled=0, dropped=0)
        newest = int((params or {}).get("limit", 1))
        pages = self._pages[path.split("/")[2]]
        return page((pages.pop(0) if len(pages) > 1 else pages[0])[:newest])


class Service:
    """A service in which each picture's decision has the id ``own``, and the pictures that it was sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        monkeypatch.setattr(scorers, "scan_all", self._scan_all)
        monkeypatch.setattr(scorers, "_LEDGER_ASKED_EVERY_S", 0.0)

    def _scan_all(self, url: str, paths: Iterable[Path], *_: object) -> Iterator[Scan]:
        for each in paths:
            self.sent.append(str(each))
            yield Scan(
                str(each), 200, "accept", "policy", None, "", {}, None, 1.0, None, request_id="own", model=str(NOW)
            )

    def scores_of(self, pages: Mapping[str, list[list[Told]]]) -> dict[str, float | str]:
        """By the name of a picture: its score, or why it was skipped."""
        views = Views(np.zeros((1, 8, 8, 3), np.uint8), (ViewPlace(0, (0.0, 0.0, 1.0, 1.0)),), "image/png", 1, 1)
        pictures = (DecodedPicture(Path(name), name, views) for name in pages)
        found: dict[str, float | str] = {}
        for each in ServiceScorer(POLICY, "http://127.0.0.1:1/secret", Ledger(pages)).score(
            pictures, threading.Event()
        ):
            if isinstance(each, SkippedPicture):
                found[str(each.path)] = each.why
            else:
                found[str(each[0].path)] = float(each[1].scores.values[0, each[1].labels.index(RED[0])])
        return found


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(monkeypatch)


FITS: Told = ("own", NOW, RED, 0.5)


@pytest.mark.parametrize("stale", [("old", OTHER, RED, 0.25), ("old", BEFORE, RED, 0.25), ("old", NOW, ("x",), 0.25)])
def test_decisions_of_before_an_upgrade_do_not_count_while_the_new_one_is_not_recorded(
    service: Service, stale: Told
) -> None:
    assert service.scores_of({"a": [[stale], [stale], [FITS, stale]]}) == {"a": 0.5}


@pytest.mark.parametrize("newest", [("own", NOW, ("x",), 0.25), ("own", NOW, LISTED, 0.0), ("later", OTHER, RED, 0.25)])
def test_the_newest_decision_that_fits_decides(service: Service, newest: Told) -> None:
    own: Told = ("own", NOW, ("x",), 0.75)
    assert service.scores_of({"a": [[newest, own, ("earlier", NOW, ("x", *RED), 0.5), FITS]]}) == {"a": 0.5}


def test_scores_of_other_weights_of_the_same_name_are_not_taken_for_those_of_a_listed_picture(service: Service) -> None:
    listed: Told = ("own", NOW, LISTED, 0.0)
    assert service.scores_of({"a": [[listed, ("old", BEFORE, RED, 0.25)]]}) == {
        "a": "the service has no scores of it: a list decided"
    }


def test_a_picture_without_fitting_scores_is_left_out_and_the_others_are_scored(service: Service) -> None:
    unfit: Told = ("own", NOW, ("x",), 0.25)
    assert service.scores_of({"a": [[unfit]], "b": [[FITS]]}) == {
        "a": "the service has no scores of it for colours",
        "b": 0.5,
    }


@pytest.mark.parametrize(("pictures", "sent"), [(3, 3), (100, 32)])
def test_a_service_that_scores_something_else_is_told_before_all_pictures_are_sent(
    service: Service, pictures: int, sent: int
) -> None:
    unfit: Told = ("own", NOW, ("x",), 0.25)
    with pytest.raises(PolicyError, match="the service has not scored 'a red view': make colours its policy"):
        service.scores_of({str(number): [[unfit]] for number in range(pictures)})
    assert len(service.sent) == sent
