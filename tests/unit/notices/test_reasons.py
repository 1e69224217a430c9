"""Reasons that others have put in words, as notices tell them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.logs.redaction import hide_secrets
from serve_app.notices.reasons import MOST_CHARACTERS, fit_to_send

SECRET = "tell-nobody-of-this"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("the scorer did not answer in time", "the scorer did not answer in time"),
        ("batching has ended.", "batching has ended"),
        ("policy.yaml:3:7: no such rule\n   3 | - rule\n       ^", "policy.yaml:3:7: no such rule"),
        (
            f"GET https://weights.example.org/a.pt?sig={SECRET}&x=1: 403 Forbidden",
            "GET https://weights.example.org/a.pt 403 Forbidden",
        ),
        (
            f"Max retries exceeded with url: /a.pt?sig={SECRET} (Caused by x)",
            "Max retries exceeded with url: /a.pt (Caused by x)",
        ),
        (f"cannot reach redis://{SECRET}@host:6379/0", "cannot reach redis://host:6379/0"),
        (f"cannot reach postgresql://user:{SECRET}@host/db", "cannot reach postgresql://host/db"),
        ("", ""),
    ],
)
def test_what_is_sent_is_one_line_without_users_and_queries(reason: str, expected: str) -> None:
    assert fit_to_send(reason) == expected


@given(st.text(), st.text(), st.integers(0, 2 * MOST_CHARACTERS))
def test_no_secret_of_this_process_is_sent_nor_much_text(before: str, after: str, length: int) -> None:
    hide_secrets([SECRET])
    sent = fit_to_send(before + "x" * length + SECRET + after)
    assert SECRET[:4] not in sent or SECRET[:4] in before + after
    assert len(sent) <= MOST_CHARACTERS
    assert len(sent.splitlines()) <= 1
