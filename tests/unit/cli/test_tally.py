"""What is remembered of a run: counts of everything, and no more scans than a table can show."""

from __future__ import annotations

from dataclasses import replace

from serve_app.cli.scanning import Scan
from serve_app.cli.tally import MOST_SHOWN, Tally

ACCEPTED = Scan("a.png", 200, "accept", "policy", None, "no rule holds", {}, None, 12.6, None)
REJECTED = replace(ACCEPTED, picture="b.png", status=406, verdict="reject")
FLAGGED = replace(ACCEPTED, picture="c.png", verdict="flag")
UNSCANNED = replace(ACCEPTED, picture="d.png", status=503, verdict=None, reason="overloaded", message="busy")
BROKEN = replace(UNSCANNED, status=422, reason="undecodable")


def tally_of(*scans: Scan) -> Tally:
    tally = Tally()
    for each in scans:
        tally.add(each)
    return tally


def test_every_picture_is_counted_once() -> None:
    tally = tally_of(ACCEPTED, FLAGGED, REJECTED, UNSCANNED, BROKEN)
    assert str(tally) == "5 pictures: 2 kept, 1 rejected, 2 not scanned"
    assert str(Tally()) == "0 pictures: 0 kept, 0 rejected, 0 not scanned"


def test_few_are_shown_by_name() -> None:
    assert tally_of(UNSCANNED, REJECTED, ACCEPTED, FLAGGED).shown() == [ACCEPTED, REJECTED, FLAGGED, UNSCANNED]


def test_of_many_those_that_were_not_accepted_are_shown() -> None:
    tally = tally_of(*[ACCEPTED] * (2 * MOST_SHOWN), REJECTED, UNSCANNED, FLAGGED)
    assert tally.shown() == [REJECTED, FLAGGED, UNSCANNED]
    assert str(tally).startswith("2,003 pictures: 2,001 kept")


def test_what_is_kept_in_memory_is_bounded() -> None:
    tally = tally_of(*[REJECTED] * (3 * MOST_SHOWN))
    assert len(tally.shown()) == MOST_SHOWN


def test_a_service_is_hopeless_after_sixteen_in_a_row() -> None:
    assert not tally_of(*[UNSCANNED] * 15).is_hopeless
    assert tally_of(*[UNSCANNED] * 16).is_hopeless
    assert not tally_of(*[UNSCANNED] * 15, BROKEN, *[UNSCANNED] * 15).is_hopeless
