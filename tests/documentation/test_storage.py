"""docs/storage.md: its table of other software says what the code says."""

from __future__ import annotations

from serve_app.storage.layouts import LAYOUTS
from tests.documentation.pages import ROOT

PAGE = (ROOT / "docs" / "storage.md").read_text("utf-8")


def rows(head: str) -> list[list[str]]:
    """The cells of each row of the table whose head begins so."""
    body = PAGE.partition(f"\n{head}")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in body.splitlines()[2:]]


def test_the_table_names_the_software_and_versions_that_the_code_does() -> None:
    assert [(row[0], row[1], row[4]) for row in rows("| software | version read ")] == [
        (layout.software, layout.version, layout.referrers) for layout in LAYOUTS.values()
    ]


def test_it_says_what_was_read_for_each() -> None:
    assert [row[0] for row in rows("| software | files ")] == [layout.software for layout in LAYOUTS.values()]
