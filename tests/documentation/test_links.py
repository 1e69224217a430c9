"""Every link of a page to another one of ours leads to a file, and to a heading in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.documentation.pages import PAGES, ROOT

_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert list(dead_links(page, text)) == []


@pytest.mark.parametrize("link", ["[a](nowhere.md)", "[a](operations.md#nothing)", "[a](#nothing)"])
def test_a_link_to_nothing_is_found(link: str) -> None:
    assert list(dead_links("docs/README.md", f"# Here\n{link} [b](#here) [c](operations.md#the-ledger)\n")) == [
        link.partition("(")[2].rstrip(")")
    ]


def dead_links(page: str, text: str) -> Iterator[str]:
    """The targets in ``text`` that are not there."""
    for _, target in _LINK.findall(_FENCE.sub("", text)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path
        if (path and not file.exists()) or (
            anchor and anchor not in anchors(file.read_text("utf-8") if path else text)
        ):
            yield target


def anchors(text: str) -> set[str]:
    """Those that GitHub gives the headings of a page."""
    headings = re.findall(r"(?m)^#+ (.+)$", _FENCE.sub("", text))
    plain = (_LINK.sub(r"\1", each).replace("`", "").lower() for each in headings)
    return {re.sub(r"[^\w\- ]", "", each).replace(" ", "-") for each in plain}
