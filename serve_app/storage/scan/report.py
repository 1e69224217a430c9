"""What scans have found in a store, for people and for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from typing import Any, Final

from serve_app.domain.storable_text import printable
from serve_app.storage.scan.outcome import FileOutcome, FileRecord

TOLD: Final = tuple(each for each in FileOutcome if each is not FileOutcome.ACCEPTED)
"""The outcomes whose files are listed; those that were accepted are counted."""

_MEANINGS: Final[Mapping[FileOutcome, str]] = {
    FileOutcome.FLAGGED: "accepted, and a person should look",
    FileOutcome.REJECTED: "it stayed when it was scanned",
    FileOutcome.PURGED: "removed",
    FileOutcome.QUARANTINED: "taken away from everybody",
    FileOutcome.UNSCANNABLE: "no picture, or none that can be decoded from end to end; nothing was done with it",
    FileOutcome.TOO_LARGE: "above a limit of the service: raise it, and run the scan again; nothing was done with it",
    FileOutcome.UNREADABLE: "the store did not give the bytes",
    FileOutcome.GONE: "listed, and not there when it was read",
    FileOutcome.LATER: "the scan did not come to its end: a file that is still there is scanned by the next run",
}

_MARKUP: Final = "\\`*_[]<>#|~&"


def as_markdown(
    url: str,
    counts: Counter[FileOutcome],
    records: Iterable[FileRecord],
    people: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """The lines of a report.

    Args:
        url: of the store.
        counts: of all its files.
        records: by outcome, in the order of :data:`TOLD`.
        people: who uploaded the picture of an alias; None: nobody has asked.
    """
    who = "" if people is None else " uploaded by |"
    yield f"# Scan of {_cell(url)}"
    yield ""
    yield "| outcome | files |"
    yield "| --- | ---: |"
    yield from (f"| {each.word} | {counts[each]:,} |" for each in FileOutcome if counts[each])
    shown = None
    for record in records:
        if record.outcome is not shown:
            shown = record.outcome
            yield from ("", f"## {shown.word.capitalize()}: {_MEANINGS[shown]}", "")
            yield from (f"| file | why | scanned | decision |{who}", f"| --- | --- | --- | --- |{who and ' --- |'}")
        scanned = record.scanned_at.astimezone(UTC).isoformat(" ", "seconds")
        person = "" if people is None else f" {_cell(', '.join(_people(record, people)))} |"
        yield f"| {_cell(told_name(record))} | {_cell(record.why)} | {scanned} | {record.request_id or ''} |{person}"


def as_json(record: FileRecord, people: Mapping[str, str] | None = None) -> str:
    """A line that a program reads, of ASCII alone. ``people`` as in :func:`as_markdown`."""
    fields: dict[str, Any] = {
        "file": record.file.name,
        "aliases": list(record.file.aliases),
        "file_bytes": record.file.size_bytes,
        "outcome": record.outcome,
        "why": record.why,
        "sha256": record.sha256,
        "request_id": record.request_id,
        "scanned_at": record.scanned_at.isoformat(),
    }
    if people is not None:
        fields["uploaded_by"] = _people(record, people)
    return json.dumps(fields)


def told_name(record: FileRecord) -> str:
    """By what people know the file, in printable text."""
    return printable(" ".join(record.file.aliases) or record.file.name)


def _people(record: FileRecord, people: Mapping[str, str]) -> list[str]:
    return sorted({people[alias] for alias in record.file.aliases if alias in people})


def _cell(text: str) -> str:
    """Markdown that shows ``text``, in one cell of a table."""
    shown = "".join(f"\\{each}" if each in _MARKUP else each for each in printable(text))
    begun = shown.lstrip(" ")
    inner = begun.rstrip(" ")
    # A cell has no plain spaces at its ends.
    return "&#32;" * (len(shown) - len(begun)) + inner + "&#32;" * (len(begun) - len(inner))
