"""Moments as numbers of a database, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from serve_app.database.moments import microseconds, moment_of


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_moment_survives(moment: datetime) -> None:
    assert moment_of(microseconds(moment)) == moment


def test_another_time_zone_is_the_same_moment() -> None:
    noon = datetime(2026, 11, 26, 12, tzinfo=UTC)
    assert microseconds(noon.astimezone(timezone(timedelta(hours=2)))) == microseconds(noon) == 1_795_694_400_000_000
