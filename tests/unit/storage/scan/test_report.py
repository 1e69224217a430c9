"""What scans have found, as Markdown and as JSON lines, whatever the names of the files."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from serve_app.domain.storable_text import printable
from serve_app.storage.scan.outcome import FileOutcome, FileRecord
from serve_app.storage.scan.report import TOLD, as_json, as_markdown, told_name
from serve_app.storage.scan.source import StoredFile

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)

# Also half surrogates, by which Python has the bytes of names that are no UTF-8.
NAMES = st.text(st.characters(), min_size=1) | st.text(" \\|`*_[]<>#~&!amp;lt:/.-\n\t", min_size=1)


def record(
    name: str, outcome: FileOutcome = FileOutcome.REJECTED, why: str = "", aliases: tuple[str, ...] = ()
) -> FileRecord:
    return FileRecord(StoredFile(name, 3, "1", aliases=aliases), outcome, NOON, why, "ab" * 32, "r-1")


def rows(lines: list[str]) -> list[list[str]]:
    """The cells of the last table, as a reader sees them, without its heading."""
    found: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse("\n".join(lines)):
        if token.type == "table_open":
            found = []
        elif token.type == "tr_open":
            found.append([])
        elif token.type == "inline" and found:
            found[-1].append("".join(part.content for part in token.children or ()))
    return found[1:]


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=5))
def test_every_name_and_reason_is_shown_as_it_is_in_one_row_a_record(told: list[tuple[str, str]]) -> None:
    records = [record(name, why=why) for name, why in told]
    lines = list(as_markdown("file:/a", Counter({FileOutcome.REJECTED: len(told)}), records))
    shown = [cells[:2] for cells in rows(lines)]
    assert shown == [[printable(name), printable(why)] for name, why in told]


@given(NAMES)
def test_a_name_in_one_line_has_no_control_character_and_can_be_written(name: str) -> None:
    shown = told_name(record(name))
    assert shown.isprintable()
    shown.encode("utf-8")


@given(NAMES, NAMES)
def test_a_line_of_json_is_ascii_and_gives_the_name_back(name: str, alias: str) -> None:
    line = as_json(record(name, why=name, aliases=(alias,)))
    assert line.isascii()
    assert line.isprintable()
    fields = json.loads(line)
    assert (fields["file"], fields["why"], fields["aliases"]) == (name, name, [alias])


def test_a_report_counts_all_and_lists_by_outcome_what_was_not_accepted() -> None:
    counts = Counter({FileOutcome.ACCEPTED: 1_000, FileOutcome.FLAGGED: 1, FileOutcome.LATER: 2})
    records = [record("a", FileOutcome.FLAGGED), record("b", FileOutcome.LATER), record("c", FileOutcome.LATER)]
    lines = list(as_markdown("file:/a_*b*", counts, records))
    assert lines[0] == r"# Scan of file:/a\_\*b\*"
    assert "| accepted | 1,000 |" in lines
    assert [line for line in lines if line.startswith("##")] == [
        "## Flagged: accepted, and a person should look",
        "## Later: the scan did not come to its end: a file that is still there is scanned by the next run",
    ]
    assert sum("| 2026-11-26 12:00:00+00:00 | r-1 |" in line for line in lines) == 3
    assert FileOutcome.ACCEPTED not in TOLD


def test_people_know_a_picture_of_pict_rs_by_its_aliases() -> None:
    assert told_name(record("a-hash", aliases=("a.png", "b.png"))) == "a.png b.png"


def test_bytes_that_are_no_utf_8_are_shown_as_escapes() -> None:
    assert told_name(record("\udcff\x1b[31m.png")) == r"\udcff\x1b[31m.png"


def test_who_uploaded_a_picture_is_told_where_somebody_has_asked() -> None:
    aliases = ("a.png", "b.png", "c.png")
    record = FileRecord(StoredFile("name", 1, "", aliases=aliases), FileOutcome.REJECTED, NOON, "It is red.")
    people = {"a.png": "alice@lemmy.example", "b.png": "bob|@x", "c.png": "alice@lemmy.example"}
    *_, row = as_markdown("pictrs:http://127.0.0.1:8080", Counter(), [record], people)
    assert row.endswith(r"| alice@lemmy.example, bob\|@x |")
    assert json.loads(as_json(record, people))["uploaded_by"] == ["alice@lemmy.example", "bob|@x"]
    assert "uploaded_by" not in json.loads(as_json(record))


def test_files_that_are_too_large_are_named_with_the_way_out() -> None:
    found = record("film.gif", FileOutcome.TOO_LARGE, "2 bytes; the limit is 1")
    text = "\n".join(as_markdown("file:/a", Counter({FileOutcome.TOO_LARGE: 1}), [found]))
    assert "| too large | 1 |" in text
    assert "## Too large: above a limit of the service: raise it" in text
