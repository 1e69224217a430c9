"""What was told, as the audit has it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain import AuditEntry, NoticeKind
from serve_app.notices.told import NOTICE, Told, told_in

NOW = datetime(2026, 11, 26, 14, 5, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
TOLD = st.builds(
    Told, MOMENTS, st.none() | MOMENTS, st.dictionaries(st.sampled_from(NoticeKind), MOMENTS), st.just(frozenset())
)


@given(TOLD, st.frozensets(st.sampled_from(NoticeKind)))
def test_the_audit_says_all_of_it(told: Told, over: frozenset[NoticeKind]) -> None:
    whole = Told(told.at, told.counted_to, told.lasting, over - told.lasting.keys())
    assert Told.of_entry(whole.entry()) == whole


def test_the_service_is_who_acts() -> None:
    entry = Told(NOW, NOW, {NoticeKind.SCANNER: NOW - timedelta(hours=1)}, frozenset({NoticeKind.LEDGER})).entry()
    assert (entry.actor, entry.action) == ("service", NOTICE)
    assert entry.detail == {
        "scanner": "since 2026-11-26T13:05:00+00:00",
        "ledger": "over",
        "counted to": "2026-11-26T14:05:00+00:00",
    }


def test_what_another_version_has_written_is_left_out() -> None:
    detail: dict[str, str | int] = {
        "moon": "over",
        "stars": "since 2026-11-26T13:05:00+00:00",
        "scanner": 3,
        "ledger": "since noon",
    }
    entry = AuditEntry(NOW, "service", NOTICE, {**detail, "counted to": "2026-11-26T13:05:00"})
    assert told_in([entry]) == [Told(NOW)]
