"""Plain hashes, one a line: ``HASH`` or ``TYPE HASH``. Empty lines and lines that begin with ``#`` are skipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TextIO

from serve_app.domain.lists import EntryDraft, FingerprintType, ListEntry
from serve_app.lists.formats.lines import BadLine, ImportTerms, Line, SkippedLine, draft_of

_BY_DIGITS = {32: FingerprintType.MD5, 40: FingerprintType.SHA1}


def read(lines: Iterable[Line], terms: ImportTerms) -> Iterator[EntryDraft | BadLine | SkippedLine]:
    """What each line becomes."""
    for line in lines:
        words = line.text.split()
        if not words or words[0].startswith("#"):
            yield SkippedLine(line.number)
            continue
        try:
            yield draft_of(_record(words, terms.type), terms)
        except ValueError as error:
            yield BadLine(line.number, str(error))


def write(entries: Iterable[ListEntry], out: TextIO) -> None:
    """Write each entry as ``TYPE HASH``."""
    for entry in entries:
        out.write(f"{entry.fingerprint.type} {entry.fingerprint.digest.hex()}\n")


def _record(words: list[str], type_: FingerprintType | None) -> dict[str, str]:
    if len(words) == 2:
        return {"type": words[0], "hash": words[1]}
    if len(words) > 2:
        raise ValueError("a line is a hash, or a type and a hash")
    known = type_ or _BY_DIGITS.get(len(words[0]))
    if known is None:
        raise ValueError("64 digits are a sha256 or a pdq: say which" if len(words[0]) == 64 else "this is no hash")
    return {"type": known, "hash": words[0]}
