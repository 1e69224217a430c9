"""What scores pictures for ``calibrate`` and ``evaluate``: an engine in this process, or a running service."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from serve_app.admin_api import LedgerStatus, ScoredDecisions
from serve_app.cli.admin.connection import AdminConnection
from serve_app.cli.admin.recorded_scores import scored_decisions
from serve_app.cli.calibration.scores_file import RecordedPicture
from serve_app.cli.check.patience import Patience
from serve_app.cli.check.scanning import Scan, scan_all
from serve_app.composition.decoding import Decode, decode_for
from serve_app.domain import FrameFingerprint, LabelScores, Lane, PolicyError, Views
from serve_app.media import preprocess
from serve_app.models.engine import Engine
from serve_app.models.with_faces import scores_of
from serve_app.policy import Policy

# Fingerprints do not depend on the size of views.
_ANY_VIEW_PX = 224

PICTURES_A_PASS = 8
"""Threads that compute one view together wait for each other after each layer, the longer the busier the machine is."""

_SENT_AT_ONCE = 4

_SENT_TOGETHER = 32
"""Pictures whose answers are waited for before their scores are fetched. A run that is killed loses no more."""

_DECISIONS_ASKED = 20
"""The newest on one picture: others may upload it at the same time, and replicas of an earlier version may answer."""

_LEDGER_ASKED_EVERY_S = 1.0
_LONGEST_LEDGER_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A file that could be decoded here; nothing else holds its views."""

    path: Path
    sha256: str
    views: Views

    @property
    def fingerprint(self) -> FrameFingerprint | None:
        """That of the first frame."""
        return self.views.fingerprints[0] if self.views.fingerprints else None


@dataclass(frozen=True, slots=True)
class SkippedPicture:
    """A file without scores, and why, in a few words."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class _ScannedPicture:
    """A picture that the service has scanned, and its answer."""

    picture: DecodedPicture
    scan: Scan


class Scorer(Protocol):
    """What scores pictures for the labels of one policy."""

    @property
    def view_size_px(self) -> int:
        """The side of the views that pictures are cut into."""
        ...

    @property
    def decode(self) -> Decode:
        """What decodes the pictures for it."""
        ...

    def knows(self, recorded: RecordedPicture) -> bool:
        """Whether it would give these scores again."""
        ...

    def score(
        self, pictures: Iterator[DecodedPicture], stop: threading.Event
    ) -> Iterator[tuple[DecodedPicture, RecordedPicture] | SkippedPicture]:
        """Score pictures until there are no more, or ``stop`` is set.

        Raises:
            AdminError: the service does not tell scores.
            PolicyError: of no picture that the service has scored, its scores are those of the policy's models, and of
                all labels.
        """
        ...


class HereScorer:
    """Scores in this process."""

    def __init__(self, labels: tuple[str, ...], engine: Engine, cache_folder: Path | None) -> None:
        """``labels`` are the columns of ``engine``; ``cache_folder`` is where fetched models are."""
        self._labels = labels
        self._engine = engine
        self.decode = decode_for(labels, cache_folder)

    @property
    def view_size_px(self) -> int:
        """See :class:`Scorer`."""
        return self._engine.identity.image_size_px

    def knows(self, recorded: RecordedPicture) -> bool:
        """See :class:`Scorer`."""
        return recorded.scores.model == self._engine.identity

    def score(
        self, pictures: Iterator[DecodedPicture], stop: threading.Event
    ) -> Iterator[tuple[DecodedPicture, RecordedPicture] | SkippedPicture]:
        """See :class:`Scorer`."""
        while not stop.is_set() and (some := list(islice(pictures, PICTURES_A_PASS))):
            scored = scores_of(self._engine, *(each.views for each in some))
            for each, scores in zip(some, scored, strict=True):
                yield each, RecordedPicture(self._labels, scores, each.fingerprint)


class ServiceScorer:
    """Has a running service scan the pictures, after all uploads, and fetches the scores that it has recorded."""

    def __init__(self, policy: Policy, url: str, admin: AdminConnection) -> None:
        """``url`` is the scan URL of the service whose admin API ``admin`` asks."""
        self._policy = policy
        self._url = url
        self._admin = admin
        self._unfit: PolicyError | None = None
        self._has_fitting = False
        self.decode: Decode = preprocess  # for the fingerprint alone

    @property
    def view_size_px(self) -> int:
        """See :class:`Scorer`."""
        return _ANY_VIEW_PX

    def knows(self, recorded: RecordedPicture) -> bool:
        """See :class:`Scorer`. Which model the service has is known once it has scored a picture."""
        return _unfitness(self._policy, recorded.labels, recorded.scores) is None

    def score(
        self, pictures: Iterator[DecodedPicture], stop: threading.Event
    ) -> Iterator[tuple[DecodedPicture, RecordedPicture] | SkippedPicture]:
        """See :class:`Scorer`."""
        # Before any picture is sent, so that none is sent in vain.
        self._admin.get(LedgerStatus, "/ledger")
        patience = Patience()
        waiting: list[_ScannedPicture] = []
        while some := list(islice(pictures, _SENT_TOGETHER)):
            by_path = {str(each.path): each for each in some}
            paths = [each.path for each in some]
            for scan in scan_all(self._url, paths, _SENT_AT_ONCE, Lane.BACKGROUND, patience, stop):
                scanned = _ScannedPicture(by_path[scan.picture], scan)
                if scan.is_error:
                    yield SkippedPicture(scanned.picture.path, f"not scanned: {scan.reason}")
                elif (told := self._told(scanned)) is not None:
                    yield told
                else:
                    waiting.append(scanned)
            if len(waiting) >= _SENT_TOGETHER:
                yield from self._told_late(waiting, stop)
                waiting = []
            if stop.is_set():
                return
            if not waiting:
                self._require_fitting()
        yield from self._told_late(waiting, stop)
        self._require_fitting()

    def _told_late(
        self, scanned: list[_ScannedPicture], stop: threading.Event
    ) -> Iterator[tuple[DecodedPicture, RecordedPicture] | SkippedPicture]:
        """The scores of pictures whose decisions wait until the service's database can be written."""
        ends_s = time.monotonic() + _LONGEST_LEDGER_WAIT_S
        while scanned and not stop.is_set():
            told = [(each, self._told(each)) for each in scanned]
            yield from (its for _, its in told if its is not None)
            scanned = [each for each, its in told if its is None]
            if scanned and time.monotonic() > ends_s:
                yield from (
                    SkippedPicture(each.picture.path, "the service has not recorded its scores yet") for each in scanned
                )
                return
            if scanned:
                stop.wait(_LEDGER_ASKED_EVERY_S)

    def _told(self, scanned: _ScannedPicture) -> tuple[DecodedPicture, RecordedPicture] | SkippedPicture | None:
        """The newest scores that fit, of a picture that was scanned; None while the decision on it is not recorded.

        Scores fit if the model that answered gave them, for all labels. Those of before an upgrade do not count.
        """
        picture, scan = scanned.picture, scanned.scan
        page = self._admin.get(ScoredDecisions, f"/bodies/{picture.sha256}/scores", {"limit": str(_DECISIONS_ASKED)})
        decisions = list(scored_decisions(page))
        own = next((each for each in decisions if each.request_id == scan.request_id), None)
        if own is None:
            return None
        for each in decisions:
            if each.scores is None or not each.is_judged or str(each.scores.model) != scan.model:
                continue
            if _unfitness(self._policy, each.labels, each.scores) is None:
                self._has_fitting = True
                return picture, RecordedPicture(each.labels, each.scores, picture.fingerprint)
        if not own.is_judged:
            return SkippedPicture(picture.path, "the service has no scores of it: a list decided")
        if own.scores is not None and self._unfit is None:
            self._unfit = _unfitness(self._policy, own.labels, own.scores)
        return SkippedPicture(picture.path, f"the service has no scores of it for {self._policy.name}")

    def _require_fitting(self) -> None:
        """End if no picture has scores that fit.

        Raises:
            PolicyError: why the first one has none.
        """
        if self._unfit is not None and not self._has_fitting:
            raise self._unfit


def _unfitness(policy: Policy, labels: Collection[str], scores: LabelScores) -> PolicyError | None:
    """Why ``policy`` cannot judge scores with these ``labels``; None if it can."""
    try:
        policy.require_model(scores.model)
    except PolicyError as error:
        return error
    missing = [label for label in policy.labels if label not in labels]
    if not missing:
        return None
    return PolicyError(
        f"the service has not scored {', '.join(map(repr, missing[:3]))}{' and others' if len(missing) > 3 else ''}: "
        f"make {policy.name} its policy or its shadow_policy, or score in this process with --here"
    )
