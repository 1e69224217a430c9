"""What a person may write for --since and --before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.moments import moment_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31t12:00:00z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00.5+02:00", datetime(2026, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        (" 30d ", NOW - timedelta(days=30)),
        ("2w", NOW - timedelta(weeks=2)),
        ("12 h", NOW - timedelta(hours=12)),
        ("5m", NOW - timedelta(minutes=5)),
        ("0s", NOW),
    ],
)
def test_a_moment_is_written_in_many_ways(text: str, moment: datetime) -> None:
    found = moment_of(text, NOW)
    assert found == moment
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-01-31T12:00:00", "2026-01-31T12", "2026-13-01", "30", "-30d", "1.5h", "٣d", "999999w"],
)
def test_what_could_mean_several_moments_or_none_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="30d"):
        moment_of(text, NOW)


@given(st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.timezones()))
def test_every_moment_comes_back(moment: datetime) -> None:
    offset = moment.utcoffset() or timedelta(0)
    whole_minutes = timezone(timedelta(minutes=offset // timedelta(minutes=1)))
    text = moment.astimezone(whole_minutes).isoformat()
    assert moment_of(text, NOW) == moment
