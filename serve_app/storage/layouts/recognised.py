"""Whose storage a store looks like, so that nobody removes originals because an option was forgotten."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from serve_app.storage.layouts.known import LAYOUTS
from serve_app.storage.layouts.layout import Layout

ENOUGH: Final = 3
"""So many names tell; where a store has fewer files, all of them."""

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DRIVE = re.compile(rf"(?:.+/)?(?:thumbnail-|webpublic-)?{_UUID}(?:\.\w+)?")

# Names as no other software gives them, below whatever folder was named as the root. Not the rules of the layouts:
# those say what a file is once the software is known, and have folders such as `users` in them.
_TELLING: Mapping[str, re.Pattern[str]] = {
    "mastodon": re.compile(r"(?:.+/)?(?:\d{3}/){3,6}(?:original|small|static)/[^/]+"),
    "misskey": _DRIVE,
    "firefish": _DRIVE,
    "pixelfed": re.compile(r"(?:.+/)?(?:m/_v2/\d+/[^/]+/[^/]+/[^/]+|_esm\.t3/.+|cache/avatars/\d+/[^/]+)"),
    "akkoma": re.compile(rf"(?:[0-9a-f]{{2}}/)*[0-9a-f]{{64}}\.\w+|{_UUID}/[^/]+"),
    "piefed": re.compile(r"(?:.+/)?(?:posts|users|communities|feeds)/(\w\w)/(\w\w)/\1\2\w{6,}\.\w+"),
}


def recognised(names: Sequence[str]) -> tuple[Layout, ...]:
    """The layouts that files with these names may be of: several, where two softwares give the same names."""
    return tuple(
        LAYOUTS[layout]
        for layout, telling in _TELLING.items()
        if names and sum(1 for name in names if telling.fullmatch(name)) >= min(ENOUGH, len(names))
    )
