"""Reading a file of entries, under limits. A file is checked to its end first: it is imported whole, or not at all."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from serve_app.domain.lists import EntryDraft
from serve_app.lists.formats import csv_table, json_lines, plain, threatexchange
from serve_app.lists.formats.lines import BadLine, ImportTerms, Line, SkippedLine

MAX_FILE_BYTES: Final = 4 << 30
MAX_LINE_BYTES: Final = 16 << 10
MAX_LINES: Final = 10_000_000

_REPORTED_LINES: Final = 20


class FileFormat(enum.StrEnum):
    """How a file of entries is written."""

    CSV = "csv"
    JSON_LINES = "jsonl"
    PLAIN = "plain"
    THREATEXCHANGE = "threatexchange"


_Read = Callable[[Iterable[Line], ImportTerms], Iterator[EntryDraft | BadLine | SkippedLine]]

_READERS: Mapping[FileFormat, _Read] = {
    FileFormat.CSV: csv_table.read,
    FileFormat.JSON_LINES: json_lines.read,
    FileFormat.PLAIN: plain.read,
    FileFormat.THREATEXCHANGE: threatexchange.read,
}


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What a file holds. ``first_bad_lines`` has the first of the lines that are wrong."""

    file_name: str
    entries: int
    skipped: int
    bad: int
    first_bad_lines: tuple[BadLine, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the file may be imported."""
        return self.bad == 0 and self.entries > 0

    def __str__(self) -> str:
        lines = [f"{self.file_name}:{each.number}: {each.message}" for each in self.first_bad_lines]
        if self.bad > len(lines):
            lines.append(f"and {self.bad - len(lines):,} more lines that are wrong")
        return "\n".join(
            [*lines, f"{self.entries:,} entries, {self.skipped:,} lines skipped, {self.bad:,} lines wrong"]
        )


def check_import(file: BinaryIO, file_name: str, file_format: FileFormat, terms: ImportTerms) -> ImportReport:
    """Read ``file`` from its position to its end, and say what is in it."""
    entries = skipped = 0
    wrong: list[BadLine] = []
    bad = 0
    try:
        for each in _READERS[file_format](_lines(file), terms):
            match each:
                case BadLine():
                    bad += 1
                    wrong += [each] if bad <= _REPORTED_LINES else []
                case SkippedLine():
                    skipped += 1
                case EntryDraft():
                    entries += 1
    except _UnreadableError as error:
        bad += 1
        wrong.append(BadLine(error.number, error.message))
    return ImportReport(file_name, entries, skipped, bad, tuple(wrong))


def read_import(file: BinaryIO, file_format: FileFormat, terms: ImportTerms) -> Iterator[EntryDraft]:
    """The entries of a file that :func:`check_import` found good.

    Raises:
        ValueError: the file has changed since, and is no longer good.
    """
    try:
        for each in _READERS[file_format](_lines(file), terms):
            match each:
                case BadLine():
                    raise ValueError(f"line {each.number}: {each.message}")
                case EntryDraft():
                    yield each
                case SkippedLine():
                    pass
    except _UnreadableError as error:
        raise ValueError(f"line {error.number}: {error.message}") from error


class _UnreadableError(Exception):
    """Nothing after this line can be read."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number
        self.message = message


def _lines(file: BinaryIO) -> Iterator[Line]:
    size_bytes = 0
    number = 0
    while octets := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        size_bytes += len(octets)
        if len(octets) > MAX_LINE_BYTES:
            raise _UnreadableError(number, f"the line is longer than {MAX_LINE_BYTES:,} bytes")
        if number > MAX_LINES:
            raise _UnreadableError(number, f"the file has more than {MAX_LINES:,} lines")
        if size_bytes > MAX_FILE_BYTES:
            raise _UnreadableError(number, f"the file is larger than {MAX_FILE_BYTES:,} bytes")
        if number == 1:
            # Spreadsheets put a byte order mark in front.
            octets = octets.removeprefix(b"\xef\xbb\xbf")
        try:
            text = octets.decode()
        except UnicodeDecodeError:
            raise _UnreadableError(number, "the file is not UTF-8") from None
        yield Line(number, text.rstrip("\r\n"))
