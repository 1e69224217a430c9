"""The scores of pictures that a command has measured, so that it continues where it was interrupted.

JSON lines in a file of its own that no other user can read. A line names a model, its labels and the version of what an
examination sees; each line below it has the sha256 of a picture, its scores for these labels and the fingerprint of its
first frame. That is a blurred sketch of the picture, and so the file is as sensitive as its pictures; nothing else of
them is in it. Lines of another version stay in the file and are not used.
"""

from __future__ import annotations

import base64
import fcntl
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from serve_app.domain import FrameFingerprint, LabelScores, ModelIdentity, SettingsError
from serve_app.domain.limits import MEDIA_VERSION
from serve_app.host.state_folder import make_private_file

_Header = tuple[ModelIdentity, tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class RecordedPicture:
    """Scores with the labels of their columns; ``fingerprint`` is that of the first frame."""

    labels: tuple[str, ...]
    scores: LabelScores
    fingerprint: FrameFingerprint | None


class ScoresFile:
    """The latest scores of each picture, by its sha256, of this run and of earlier ones."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._header: _Header | None = None
        self._pictures: dict[str, list[RecordedPicture]] = {}

    @classmethod
    def open(cls, file: Path) -> Self:
        """Read the file, to append to it; create it if it does not exist.

        Raises:
            OSError: the file cannot be read or written, or it belongs to another user.
            SettingsError: another run writes to it.
        """
        make_private_file(file)
        stream = file.open("a+b")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            raise SettingsError(
                f"another run is writing to {file}: wait for it, or name another file with --scores"
            ) from None
        scores = cls(stream)
        scores._read()
        return scores

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def of(self, sha256: str) -> list[RecordedPicture]:
        """What is known of a picture, the latest first: of each model and each set of labels that scored it."""
        return self._pictures.get(sha256, [])[::-1]

    def add(self, sha256: str, picture: RecordedPicture) -> None:
        """Write a line at once, so that it survives any end of this process.

        Raises:
            OSError: the line could not be written.
        """
        scores, seen = picture.scores, picture.fingerprint
        header = (scores.model, picture.labels, scores.logit_scale)
        if header != self._header:
            self._header = header
            self._write(
                {
                    "media_version": MEDIA_VERSION,
                    "model": asdict(scores.model),
                    "labels": picture.labels,
                    "logit_scale": scores.logit_scale,
                }
            )
        self._write(
            {
                "sha256": sha256,
                "views": len(scores.values),
                "values": _text(scores.values.astype("<f4").tobytes()),
                "fingerprint": seen and {"frame": seen.frame, "quality": seen.quality, "hashes": _text(seen.hashes)},
            }
        )
        self._pictures.setdefault(sha256, []).append(picture)

    def _write(self, fields: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(fields).encode("ascii") + b"\n")
        self._stream.flush()

    def _read(self) -> None:
        self._stream.seek(0)
        line = b"\n"
        for line in self._stream:
            self._take(line)
        if not line.endswith(b"\n"):
            # The earlier run was killed in the middle of a line.
            self._stream.write(b"\n")

    def _take(self, line: bytes) -> None:
        try:
            fields = json.loads(line)
            if "sha256" not in fields:
                self._header = _header_of(fields)
            elif self._header is not None:
                self._pictures.setdefault(fields["sha256"], []).append(_picture_of(fields, self._header))
        except (ValueError, TypeError, KeyError):
            # Half a line. Nothing is known of its picture, which is scored again.
            return


def _header_of(fields: Mapping[str, Any]) -> _Header | None:
    """None of a version that sees something else in the same bytes; the first files named none."""
    if fields.get("media_version") != MEDIA_VERSION:
        return None
    return _model_of(fields["model"]), tuple(fields["labels"]), float(fields["logit_scale"])


def _picture_of(fields: Mapping[str, Any], header: _Header) -> RecordedPicture:
    model, labels, logit_scale = header
    values = np.frombuffer(_bytes(fields["values"]), "<f4").reshape(int(fields["views"]), len(labels))
    seen = fields["fingerprint"]
    fingerprint = seen and FrameFingerprint(int(seen["frame"]), int(seen["quality"]), _bytes(seen["hashes"]))
    return RecordedPicture(labels, LabelScores(values.astype(np.float32), logit_scale, model), fingerprint)


def _model_of(fields: Mapping[str, Any]) -> ModelIdentity:
    parts = tuple(map(_model_of, fields["parts"]))
    return ModelIdentity(**{**fields, "parts": parts})


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
