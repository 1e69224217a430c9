"""Names that tell whose storage a store is, and names that anybody's files may have."""

from __future__ import annotations

import pytest

from serve_app.storage.layouts.recognised import recognised

UUIDS = [f"{place:08x}-52f1-4c1a-9f5e-7d1f0a2b3c4d" for place in range(3)]
MASTODON = [f"cache/media_attachments/files/109/000/000/000/000/00{place}/original/a.png" for place in range(3)]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (MASTODON, ["mastodon"]),
        ([f"system/{name}" for name in MASTODON], ["mastodon"]),
        ([name.removeprefix("cache/media_attachments/files/") for name in MASTODON], ["mastodon"]),
        ([f"custom_emojis/images/000/000/04{place}/static/cat.png" for place in range(3)], ["mastodon"]),
        (UUIDS, ["misskey", "firefish"]),
        ([f"media/webpublic-{uuid}.webp" for uuid in UUIDS], ["misskey", "firefish"]),
        ([f"public/m/_v2/4242{place}/4c90d8e69-c5a1c2/6LiFw/FFc98.jpg" for place in range(3)], ["pixelfed"]),
        (
            [f"{place}{'0123456789abcde' * 4}abc.jpg" for place in "234"],
            ["akkoma"],
        ),
        ([f"{uuid}/holiday at the sea.jpg" for uuid in UUIDS], ["akkoma"]),
        ([f"posts/aB/3{place}/aB3{place}Yz0123456Qw_thumbnail.webp" for place in "xyz"], ["piefed"]),
        (["notes.txt", *MASTODON, "a.png"], ["mastodon"]),
        (MASTODON[:1], ["mastodon"]),
    ],
)
def test_names_that_tell(names: list[str], found: list[str]) -> None:
    assert [layout.name for layout in recognised(names)] == found


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["a.png", "b.png", "c.png"],
        ["users/me/a.png", "users/you/b.png", "avatars/c.png", "posts/2026/d.png"],
        ["2026/11/26/a.png", "2026/11/27/b.png", "2026/11/28/c.png"],
        ["camera/001/002/original.png", "camera/001/003/original.png", "camera/001/004/original.png"],
        ["a.png", "b.png", "c.png", *MASTODON[:2]],
    ],
    ids=["nothing", "plain", "folders", "days", "numbers", "two of many"],
)
def test_names_that_tell_nothing(names: list[str]) -> None:
    assert recognised(names) == ()
