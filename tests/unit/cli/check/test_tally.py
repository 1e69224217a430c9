"""The tally of a run: it counts every picture, and holds no more scans than a table shows."""

from __future__ import annotations

from dataclasses import replace

from serve_app.cli.check.scanning import Scan
from serve_app.cli.check.tally import MOST_SHOWN, Tally

ACCEPTED = Scan("a.png", 200, "accept", "policy", None, "no rule holds", {}, None, 12.6, None)
REJECTED = replace(ACCEPTED, picture="b.png", status=406, verdict="reject")
FLAGGED = replace(ACCEPTED, picture="c.png", verdict="flag")
UNSCANNED = replace(ACCEPTED, picture="d.png", status=503, verdict=None, reason="overloaded", message="busy")
BROKEN = replace(UNSCANNED, status=422, reason="undecodable")


def tally_of(*scans: Scan, shows_accepted: bool = False) -> Tally:
    tally = Tally(shows_accepted)
    for each in scans:
        tally.add(each)
    return tally


def test_every_picture_is_counted_once() -> None:
    tally = tally_of(ACCEPTED, ACCEPTED, FLAGGED, REJECTED, UNSCANNED, BROKEN)
    assert str(tally) == "6 pictures: 2 accepted, 1 flagged, 1 rejected, 2 unscanned"
    assert str(Tally()) == "0 pictures: 0 accepted, 0 flagged, 0 rejected, 0 unscanned"
    assert str(tally_of(*[ACCEPTED] * 2000)).startswith("2,000 pictures: 2,000 accepted")
    assert str(tally_of(REJECTED)).startswith("1 picture: ")


def test_the_table_has_what_was_not_accepted_by_name() -> None:
    tally = tally_of(UNSCANNED, REJECTED, ACCEPTED, FLAGGED)
    assert tally.shown() == [REJECTED, FLAGGED, UNSCANNED]
    assert not tally.is_cut


def test_accepted_pictures_are_shown_if_they_are_wanted() -> None:
    tally = tally_of(UNSCANNED, ACCEPTED, REJECTED, shows_accepted=True)
    assert tally.shown() == [ACCEPTED, REJECTED, UNSCANNED]
    assert not tally.is_cut


def test_the_table_is_bounded_and_accepted_pictures_take_no_row_from_others() -> None:
    tally = tally_of(*[ACCEPTED] * (2 * MOST_SHOWN), REJECTED, shows_accepted=True)
    assert (len(tally.shown()), tally.is_cut) == (MOST_SHOWN + 1, True)
    assert tally.shown()[-1] == REJECTED
    tally = tally_of(*[REJECTED] * (3 * MOST_SHOWN))
    assert (len(tally.shown()), tally.is_cut) == (MOST_SHOWN, True)


def test_a_service_is_hopeless_after_sixteen_in_a_row() -> None:
    assert not tally_of(*[UNSCANNED] * 15).is_hopeless
    assert tally_of(*[UNSCANNED] * 16).is_hopeless
    assert not tally_of(*[UNSCANNED] * 15, BROKEN, *[UNSCANNED] * 15).is_hopeless
