"""pict-rs's names of stored bytes: as hex, as a slug, as an etag."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.pictrs import HashPage, StoredHash

# As pict-rs 0.5.25 showed it: a PNG of 178 bytes.
SHA256 = "5bd0a3d4b0b1a3e9b44b1d4dcf0a8c46a7bb7b6d5a0f1f2e3d4c5b6a79880716"
HEX = f"{SHA256}0000000000b207"


def test_a_hash_is_read() -> None:
    assert StoredHash.of_hex(HEX) == StoredHash(SHA256, 178, 7)


@given(st.binary(min_size=39, max_size=39))
def test_every_name_is_the_same_in_each_of_its_forms(name: bytes) -> None:
    stored = StoredHash.of_hex(name.hex())
    assert base64.urlsafe_b64decode(stored.slug) == name
    assert StoredHash.of_etag(f'"{base64.b64encode(name).decode()}"') == stored


@pytest.mark.parametrize("text", ["", "00", SHA256, f"{HEX}00", "x" * 78])
def test_a_name_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"39 bytes|hexadecimal"):
        StoredHash.of_hex(text)


@pytest.mark.parametrize("etag", ["", '"d41d8cd98f00b204e9800998ecf8427e"', '"not base64 at all"', '"ä"'])
def test_an_etag_of_another_server_is_none(etag: str) -> None:
    assert StoredHash.of_etag(etag) is None


@pytest.mark.parametrize(
    "page",
    [{}, {"hashes": None}, {"hashes": [1]}, {"hashes": [{"hex": 1, "aliases": []}]}, {"hashes": [{"hex": HEX}]}, []],
)
def test_a_page_of_another_form_is_refused(page: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="form"):
        HashPage.of_json(page)
