"""CSV with a header (RFC 4180): :data:`COLUMNS` in any order, of which ``type`` and ``hash`` are needed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import TextIO

from serve_app.domain.lists import EntryDraft, ListEntry
from serve_app.lists.formats.lines import (
    OPTIONAL_KEYS,
    REQUIRED_KEYS,
    BadLine,
    ImportTerms,
    Line,
    SkippedLine,
    draft_of,
)
from serve_app.lists.formats.records import COLUMNS, record_of


def read(lines: Iterable[Line], terms: ImportTerms) -> Iterator[EntryDraft | BadLine | SkippedLine]:
    """What each line becomes."""
    for row in rows(lines, REQUIRED_KEYS, REQUIRED_KEYS | OPTIONAL_KEYS):
        if isinstance(row, BadLine):
            yield row
            continue
        number, record = row
        try:
            yield draft_of(record, terms)
        except ValueError as error:
            yield BadLine(number, str(error))


def write(entries: Iterable[ListEntry], out: TextIO) -> None:
    """Write all columns of each entry."""
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for entry in entries:
        writer.writerow(record_of(entry))


def rows(
    lines: Iterable[Line], required: frozenset[str], known: frozenset[str]
) -> Iterator[tuple[int, dict[str, str]] | BadLine]:
    """The rows under a header, each with the number of its last line; or one bad line for a header that is wrong."""
    reader = csv.reader((line.text + "\n" for line in lines), strict=True)
    try:
        header = next(reader, [])
        if missing := required - set(header):
            yield BadLine(1, f"the header lacks the column {min(missing)!r}")
            return
        if unknown := set(header) - known:
            yield BadLine(1, f"the header has the unknown column {min(unknown)[:40]!r}")
            return
        for row in reader:
            if len(row) == len(header):
                yield reader.line_num, dict(zip(header, row, strict=True))
            elif row:
                yield BadLine(reader.line_num, f"{len(row)} columns under a header of {len(header)}")
    except csv.Error as error:
        # After a wrong quote nothing says where the next row begins.
        yield BadLine(reader.line_num, f"not CSV from here on: {error}")
