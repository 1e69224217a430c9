"""The pictures of a folder with their scores: from a file of earlier runs, and else from an engine or a service."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from serve_app.calibration.pictures import ScoredPicture
from serve_app.cli.calibration.scorers import PICTURES_A_PASS, DecodedPicture, Scorer, SkippedPicture
from serve_app.cli.calibration.scores_file import RecordedPicture, ScoresFile
from serve_app.domain import Deadline, LabelScores, OnTruncated, SettingsError, UnscannedError
from serve_app.media import MediaLimits

# Nobody waits for an answer: this only ends a decode that never would.
_DECODE_DEADLINE_S = 60.0

_DECODED_AHEAD = 2 * PICTURES_A_PASS
"""One pass is decoded while another is computed."""


@dataclass(slots=True)
class ScoredFolder:
    """The pictures of a folder. ``skipped`` counts files without scores, by why; ``recorded`` were scored before."""

    pictures: list[ScoredPicture] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    recorded: int = 0

    @property
    def files(self) -> int:
        """How many were looked at."""
        return len(self.pictures) + self.skipped.total()

    def require_same_models(self, names: Iterable[str]) -> None:
        """Refuse scores of two weights under one name. Models beside ``names`` change none of the scores.

        Raises:
            SettingsError: the scores of one of these models are of several weights.
        """
        for name in names:
            digests = {
                each.digest for picture in self.pictures for each in picture.scores.model.each if each.name == name
            }
            if len(digests) < 2:
                continue
            names = " and ".join(f"{name}@{digest[:12]}" for digest in sorted(digests))
            raise SettingsError(f"the recorded scores are of {names}: name another file with --scores")


def score_folder(
    paths: Iterable[Path],
    root: Path,
    labels: tuple[str, ...],
    scorer: Scorer,
    file: ScoresFile,
    stop: threading.Event,
    show: Callable[[int], None],
) -> ScoredFolder:
    """Score every picture that ``file`` does not know, and add it there.

    Args:
        paths: of files.
        root: names are below it.
        labels: those that are wanted, in the order of the columns.
        scorer: scores them.
        file: of earlier runs.
        stop: once set, no further picture is scored.
        show: called after each file, with how many are done.

    Raises:
        OSError: the scores cannot be written.
        AdminError, PolicyError: as :meth:`Scorer.score`.
    """
    folder = ScoredFolder()

    def keep(path: Path, sha256: str, recorded: RecordedPicture) -> None:
        scores = _picked(labels, recorded)
        folder.pictures.append(ScoredPicture(_name(path, root), sha256, scores, recorded.fingerprint))
        show(folder.files)

    def skip(skipped: SkippedPicture) -> None:
        folder.skipped[skipped.why] += 1
        show(folder.files)

    def unknown() -> Iterator[tuple[Path, bytes, str]]:
        for path in paths:
            if stop.is_set():
                return
            try:
                body = path.read_bytes()
            except OSError as error:
                skip(SkippedPicture(path, f"cannot be read: {error.strerror}"))
                continue
            sha256 = hashlib.sha256(body).hexdigest()
            known = next((each for each in file.of(sha256) if _has(labels, each) and scorer.knows(each)), None)
            if known is None:
                yield path, body, sha256
            else:
                folder.recorded += 1
                keep(path, sha256, known)

    def decoded() -> Iterator[DecodedPicture]:
        for each in _decoded(unknown(), scorer):
            if isinstance(each, SkippedPicture):
                skip(each)
            else:
                yield each

    for result in scorer.score(decoded(), stop):
        if isinstance(result, SkippedPicture):
            skip(result)
        else:
            picture, recorded = result
            file.add(picture.sha256, recorded)
            keep(picture.path, picture.sha256, recorded)
    return folder


def _decoded(files: Iterable[tuple[Path, bytes, str]], scorer: Scorer) -> Iterator[DecodedPicture | SkippedPicture]:
    """Decode a few pictures ahead, on all cores; in the order of the files."""
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decoders") as threads:
        ahead: deque[Future[DecodedPicture | SkippedPicture]] = deque()
        for path, body, sha256 in files:
            ahead.append(threads.submit(_decode, path, body, sha256, scorer))
            if len(ahead) > _DECODED_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _decode(path: Path, body: bytes, sha256: str, scorer: Scorer) -> DecodedPicture | SkippedPicture:
    try:
        deadline = Deadline.after(_DECODE_DEADLINE_S)
        views = scorer.decode(body, scorer.view_size_px, MediaLimits(), deadline, OnTruncated.REFUSE)
    except UnscannedError as error:
        return SkippedPicture(path, f"not scanned: {error.reason}")
    return DecodedPicture(path, sha256, views)


def _has(labels: tuple[str, ...], recorded: RecordedPicture) -> bool:
    return set(labels) <= set(recorded.labels)


def _picked(labels: tuple[str, ...], recorded: RecordedPicture) -> LabelScores:
    picked = recorded.scores.picked(recorded.labels, labels)
    if picked is None:
        raise ValueError(f"scores for {len(recorded.labels)} labels lack some of the {len(labels)} that are wanted")
    return picked


def _name(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
