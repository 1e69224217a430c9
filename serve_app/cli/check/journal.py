"""The journal of ``pictwarden check --resume``: the answers of earlier runs, so that only the rest is sent."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

from serve_app.cli.check.scanning import Scan

_DIGEST_BYTES = 16


class Journal:
    """A file with one JSON line for each answer, of this run and of earlier ones.

    A picture is skipped if it has a verdict and its path, size and time of change are the same. Only a digest of each
    answer is in memory: a million answers take about 100 MB.

    Attributes:
        kept_before: skipped pictures that were accepted or flagged.
        rejected_before: skipped pictures that were rejected.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._rejected: set[bytes] = set()
        self._kept: set[bytes] = set()
        self.kept_before = 0
        self.rejected_before = 0

    @classmethod
    def open(cls, file: Path) -> Self:
        """Read the file, to append to it; create it if it does not exist.

        Raises:
            OSError: the file cannot be read or written.
        """
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise OSError(errno.EINVAL, "not a regular file", str(file))
        journal = cls(file.open("a+b"))
        journal._read()
        return journal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def unanswered(self, pictures: Iterator[Path]) -> Iterator[Path]:
        """The pictures without a verdict; the others are counted."""
        for picture in pictures:
            key = self._key_of_file(picture)
            if key in self._rejected:
                self.rejected_before += 1
            elif key in self._kept:
                self.kept_before += 1
            else:
                yield picture

    def add(self, scan: Scan) -> None:
        """Write a line at once, so that the answer survives any end of this process.

        Raises:
            OSError: the line could not be written.
        """
        self._stream.write(json.dumps(scan.as_dict()).encode("ascii") + b"\n")
        self._stream.flush()

    def _read(self) -> None:
        self._stream.seek(0)
        line = b"\n"
        for line in self._stream:
            self._take(_parsed(line))
        if not line.endswith(b"\n"):
            # The earlier run was killed in the middle of a line.
            self._stream.write(b"\n")

    def _take(self, fields: dict[str, Any]) -> None:
        picture, size, modified = (fields.get(name) for name in ("picture", "file_bytes", "modified_ns"))
        if isinstance(picture, str) and isinstance(fields.get("verdict"), str):
            # The latest line decides, since a changed file is scanned again.
            key = _key(picture, size, modified)
            of, other = (self._rejected, self._kept)[:: 1 if fields["verdict"] == "reject" else -1]
            of.add(key)
            other.discard(key)

    @staticmethod
    def _key_of_file(picture: Path) -> bytes | None:
        try:
            status = picture.stat()
        except OSError:
            return None
        return _key(str(picture), status.st_size, status.st_mtime_ns)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _key(picture: str, size: object, modified_ns: object) -> bytes:
    text = b"\0".join((picture.encode("utf-8", "surrogatepass"), str(size).encode(), str(modified_ns).encode()))
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest()
