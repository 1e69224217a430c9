"""What people paste, and which picture it names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.pictrs import Reference, parse_reference

ALIAS = "0b6d9ef7-24ad-4a4f-8a1e-6b2f0a3f4a11.png"


@pytest.mark.parametrize(
    "text",
    [
        ALIAS,
        f"  {ALIAS}\n",
        f"https://lemmy.example/pictrs/image/{ALIAS}",
        f"https://lemmy.example/pictrs/image/{ALIAS}?format=webp&thumbnail=256",
        f"https://lemmy.example/pictrs/image/{ALIAS}#comment",
        f"http://127.0.0.1:8080/image/original/{ALIAS}",
        f"http://127.0.0.1:8080/image/original?alias={ALIAS}",
        f"http://127.0.0.1:8080/image/details/original/{ALIAS}",
        f"http://127.0.0.1:8080/image/process.webp?src={ALIAS}&thumbnail=256",
        f"http://127.0.0.1:8080/image/process.webp?alias={ALIAS}&thumbnail=256",
        f"https://lemmy.example/api/v4/image/{ALIAS}",
    ],
)
def test_an_alias_is_found_in_every_url_that_shows_it(text: str) -> None:
    assert parse_reference(text) == Reference("alias", ALIAS)


@pytest.mark.parametrize(
    ("text", "alias"),
    [("AbCdEf1234.jpg", "AbCdEf1234.jpg"), ("https://a.b/image/holiday%20photo.png", "holiday photo.png")],
)
def test_the_aliases_of_earlier_versions_are_taken(text: str, alias: str) -> None:
    assert parse_reference(text) == Reference("alias", alias)


@pytest.mark.parametrize(
    "text",
    [
        "https://lemmy.example/api/v3/image_proxy?url=https%3A%2F%2Fother.example%2Fa.png",
        "https://lemmy.example/api/v4/image/proxy?proxy=https%3A%2F%2Fother.example%2Fa.png",
        "http://127.0.0.1:8080/image/original?proxy=https%3A%2F%2Fother.example%2Fa.png",
    ],
)
def test_a_proxied_picture_is_named_by_the_address_that_it_came_from(text: str) -> None:
    assert parse_reference(text) == Reference("proxy", "https://other.example/a.png")


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", "..", "a/b", "/etc/passwd", "a\nb"),
        *("https://lemmy.example/", "https://lemmy.example/image/", "https://lemmy.example/post/1"),
        *("https://lemmy.example/image/..", "https://a.b/image/%2E%2E", "https://a.b/image/original/a%2Fb"),
        *("https://a.b/image/delete/token/x.png", "https://[/image/a.png", "https://a.b/image/process.webp?src=a/b"),
    ],
)
def test_what_names_no_picture_is_refused_with_the_forms_that_do(text: str) -> None:
    with pytest.raises(ValueError, match="names no picture of pict-rs: give https://HOST/pictrs/image/ALIAS"):
        parse_reference(text)


@given(st.text())
def test_every_alias_is_one_segment_of_a_path(text: str) -> None:
    try:
        reference = parse_reference(text)
    except ValueError:
        return
    assert reference.kind == "proxy" or not {"/", "\n", "\0"} & set(reference.value)
    assert reference.value not in ("", ".", "..")
