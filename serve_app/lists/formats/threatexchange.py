"""The CSV of ``threatexchange dataset -P --csv`` (PyPI, 1.2.17): signal_type,signal_str,collab,category,tags.

Signals that are no hash of a whole picture or video (URLs, texts, queries) are skipped, and so is what its publishers
call a false positive (``NEGATIVE_CLASS``) where an import denies.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import TextIO

from serve_app.domain.lists import EntryDraft, FingerprintType, ListEntry, ListKind
from serve_app.lists.formats.csv_table import rows
from serve_app.lists.formats.lines import BadLine, ImportTerms, Line, SkippedLine, draft_of

COLUMNS = ("signal_type", "signal_str", "collab", "category", "tags")

_TYPES = {
    "pdq": FingerprintType.PDQ,
    "video_md5": FingerprintType.MD5,
    "video_sha256": FingerprintType.SHA256,
}
_SIGNALS = {type_: signal for signal, type_ in _TYPES.items()}
_CATEGORIES = frozenset({"NEGATIVE_CLASS", "INVESTIGATION_SEED", "POSITIVE_CLASS"})


def read(lines: Iterable[Line], terms: ImportTerms) -> Iterator[EntryDraft | BadLine | SkippedLine]:
    """What each line becomes."""
    for row in rows(lines, frozenset(COLUMNS), frozenset(COLUMNS)):
        if isinstance(row, BadLine):
            yield row
            continue
        number, signal = row
        type_ = _TYPES.get(signal["signal_type"])
        if signal["category"] not in _CATEGORIES:
            yield BadLine(number, f"unknown category; known: {', '.join(sorted(_CATEGORIES))}")
        elif type_ is None or (signal["category"] == "NEGATIVE_CLASS" and terms.kind is not ListKind.ALLOW):
            yield SkippedLine(number)
        else:
            try:
                yield draft_of({"type": type_, "hash": signal["signal_str"], "source": signal["collab"]}, terms)
            except ValueError as error:
                yield BadLine(number, str(error))


def write(entries: Iterable[ListEntry], out: TextIO) -> None:
    """Write each entry of a type that this format has: it has no sha1."""
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    for entry in entries:
        signal = _SIGNALS.get(entry.fingerprint.type)
        if signal is not None:
            category = "POSITIVE_CLASS" if entry.kind is ListKind.DENY else "NEGATIVE_CLASS"
            digits = entry.fingerprint.digest.hex()
            writer.writerow(dict(zip(COLUMNS, (signal, digits, entry.bank, category, ""), strict=True)))
