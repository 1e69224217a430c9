"""The table for people: every scan has a row, and no text of a scan is taken for markup."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from serve_app.cli.check.scan_table import scan_table, without_common_folder
from serve_app.cli.check.scanning import Scan

ACCEPTED = Scan(
    picture="a.png",
    status=200,
    verdict="accept",
    reason="policy",
    rule=None,
    message="no rule holds",
    scores={"red": 0.125, "round": 0.5},
    margin=-0.1,
    elapsed_ms=12.6,
    notice=None,
)
REJECTED = replace(ACCEPTED, picture="b.png", status=406, verdict="reject", rule="no-red", message="It is red.")
UNSCANNED = replace(
    ACCEPTED, picture="c.png", status=503, verdict=None, reason="overloaded", scores={}, message="too many are waiting"
)


def rows(*scans: Scan) -> list[list[str]]:
    """The cells of the table as they are printed, without the header."""
    printed = io.StringIO()
    Console(file=printed, width=200).print(scan_table(scans))
    return [re.split(r"\s{2,}", line.strip()) for line in printed.getvalue().splitlines()[1:]]


def test_an_accepted_picture_shows_its_scores_and_how_close_it_came() -> None:
    assert rows(ACCEPTED) == [["a.png", "accept", "-", "13", "red=0.12 round=0.50 (-0.10)"]]


def test_an_unknown_score_is_said_to_be_unknown() -> None:
    (row,) = rows(replace(ACCEPTED, scores={"nsfw": None, "red": 0.125}, margin=None))
    assert row[-1] == "nsfw=unknown red=0.12"


def test_a_rejected_picture_shows_its_rule() -> None:
    (row,) = rows(REJECTED)
    assert row[:3] == ["b.png", "reject", "no-red"]


def test_an_unscanned_picture_shows_the_reason_instead_of_a_verdict() -> None:
    assert rows(UNSCANNED) == [["c.png", "none (overloaded)", "-", "13", "too many are waiting"]]


@pytest.mark.parametrize("text", ["[red]name", "name[/red]", "[/]", "[bold", "back\\", "\\[red]"])
def test_no_text_is_markup(text: str) -> None:
    looked = replace(REJECTED, picture=text, rule=text, scores={text: 1.0}, margin=None)
    unscanned = replace(UNSCANNED, picture=text, reason=text, message=text)
    assert rows(looked, unscanned) == [
        [text, "reject", text, "13", f"{text}=1.00"],
        [text, f"none ({text})", "-", "13", text],
    ]


def test_a_name_that_is_no_text_is_shown_all_the_same() -> None:
    ((name, *_),) = rows(replace(ACCEPTED, picture="caf\udce9.png"))
    assert name == "caf?.png"


@pytest.mark.parametrize(
    ("pictures", "folder", "names"),
    [
        (["/home/me/a.png", "/home/me/b/c.png"], "/home/me", ["a.png", "b/c.png"]),
        (["holiday/2020/a.png"], "holiday/2020", ["a.png"]),
        (["holiday/ab/c.png", "holiday/abc.png"], "holiday", ["ab/c.png", "abc.png"]),
        (["caf\udce9/a.png", "caf\udce9/b.png"], "caf\udce9", ["a.png", "b.png"]),
        (["../a.png", "../b.png"], "..", ["a.png", "b.png"]),
        (["a.png", "b/c.png"], "", ["a.png", "b/c.png"]),
        (["/a/b.png", "/c/d.png"], "", ["/a/b.png", "/c/d.png"]),
        (["/a/b.png", "a/b.png"], "", ["/a/b.png", "a/b.png"]),
        ([], "", []),
    ],
)
def test_names_are_told_without_the_folder_that_all_lie_in(pictures: list[str], folder: str, names: list[str]) -> None:
    found, scans = without_common_folder([replace(ACCEPTED, picture=each) for each in pictures])
    assert (found, [each.picture for each in scans]) == (folder, names)
