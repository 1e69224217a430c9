"""The URLs of the environment."""

from __future__ import annotations

import pytest

from serve_app.notices.addresses import addresses


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ()),
        ("  \n", ()),
        ("ntfys://host/topic", ("ntfys://host/topic",)),
        ("ntfys://host/topic, json://x\nmatrixs://y ", ("ntfys://host/topic", "json://x", "matrixs://y")),
        ("ntfys://host/one,two,mailtos://a?to=b,c", ("ntfys://host/one,two", "mailtos://a?to=b,c")),
        ("nonsense", ("nonsense",)),
    ],
)
def test_white_space_or_a_comma_separates_them(given: str, expected: tuple[str, ...]) -> None:
    assert addresses("URLS", {"URLS": given}) == expected


def test_without_the_variable_there_are_none() -> None:
    assert addresses("URLS", {}) == ()
