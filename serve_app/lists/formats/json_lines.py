"""JSON lines: an object a line, with the keys of the CSV; a value that is missing, null or empty says nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TextIO

from serve_app.domain.lists import EntryDraft, ListEntry
from serve_app.lists.formats.lines import BadLine, ImportTerms, Line, SkippedLine, draft_of
from serve_app.lists.formats.records import record_of


def read(lines: Iterable[Line], terms: ImportTerms) -> Iterator[EntryDraft | BadLine | SkippedLine]:
    """What each line becomes."""
    for line in lines:
        if not line.text.strip():
            yield SkippedLine(line.number)
            continue
        try:
            yield draft_of(_record(line.text), terms)
        except json.JSONDecodeError as error:
            yield BadLine(line.number, f"not JSON: {error.msg} at column {error.colno}")
        except RecursionError:
            yield BadLine(line.number, "not an object of texts and numbers")
        except (TypeError, ValueError) as error:
            yield BadLine(line.number, str(error))


def write(entries: Iterable[ListEntry], out: TextIO) -> None:
    """Write each entry as an object without what it does not have."""
    for entry in entries:
        record = {key: value for key, value in record_of(entry).items() if value}
        out.write(json.dumps(record, ensure_ascii=False) + "\n")


def _record(text: str) -> dict[str, str]:
    loaded = json.loads(text)
    if not isinstance(loaded, dict):
        raise TypeError("not an object of texts and numbers")
    record = {}
    for key, value in loaded.items():
        if not isinstance(value, str | int | None) or isinstance(value, bool):
            raise TypeError("not an object of texts and numbers")
        if value is not None:
            record[key] = str(value)
    return record
