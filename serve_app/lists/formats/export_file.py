"""Writing entries for other programs and other instances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TextIO

from serve_app.domain.lists import Bank, ListEntry
from serve_app.lists.formats import csv_table, json_lines, plain, threatexchange
from serve_app.lists.formats.import_file import FileFormat

_WRITERS: Mapping[FileFormat, Callable[[Iterable[ListEntry], TextIO], None]] = {
    FileFormat.CSV: csv_table.write,
    FileFormat.JSON_LINES: json_lines.write,
    FileFormat.PLAIN: plain.write,
    FileFormat.THREATEXCHANGE: threatexchange.write,
}


def export_entries(
    entries: Iterable[ListEntry], banks: Mapping[str, Bank], file_format: FileFormat, out: TextIO
) -> None:
    """Write the entries whose banks are known and exportable; open ``out`` with ``newline=""``."""
    _WRITERS[file_format]((each for each in entries if each.bank in banks and banks[each.bank].is_exportable), out)
