"""The URLs of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.domain import SettingsError
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


@pytest.mark.parametrize("given", [",", " ,\n, "])
def test_separators_alone_are_a_mistake(given: str) -> None:
    with pytest.raises(SettingsError, match="URLS has no URL in it"):
        addresses("URLS", {"URLS": given})


def test_they_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "urls"
    file.write_text("ntfys://host/topic\njson://x\n", "ascii")
    file.chmod(0o600)
    assert addresses("URLS", {"URLS_FILE": str(file)}) == ("ntfys://host/topic", "json://x")
