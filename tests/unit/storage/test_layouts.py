"""Names of files in the storage of other software: what each is, who removes it, and what may be unlinked."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.storage.layouts import LAYOUTS, FileRole, Layout

UUID = "0c9f6b5e-52f1-4c1a-9f5e-7d1f0a2b3c4d"
SHA256 = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

ROLES = [
    ("mastodon", "media_attachments/files/112/345/678/901/234/567/original/1f2e3d4c5b6a7988.png", FileRole.ORIGINAL),
    ("mastodon", "media_attachments/files/112/345/678/901/234/567/small/1f2e3d4c5b6a7988.png", FileRole.DERIVED),
    ("mastodon", "media_attachments/thumbnails/112/345/678/901/234/567/original/cover.jpg", FileRole.ORIGINAL),
    ("mastodon", "cache/media_attachments/files/112/345/678/901/234/567/original/clip.mp4", FileRole.CACHE),
    ("mastodon", "cache/media_attachments/files/112/345/678/901/234/567/small/clip.png", FileRole.DERIVED),
    ("mastodon", "accounts/avatars/000/001/234/original/me.gif", FileRole.ORIGINAL),
    ("mastodon", "accounts/avatars/000/001/234/static/me.png", FileRole.DERIVED),
    ("mastodon", "cache/accounts/headers/109/876/543/210/987/654/original/sea.jpg", FileRole.CACHE),
    ("mastodon", "custom_emojis/images/000/000/042/original/blobcat.png", FileRole.ORIGINAL),
    ("mastodon", "cache/custom_emojis/images/000/000/043/static/blobcat.png", FileRole.DERIVED),
    ("mastodon", "cache/preview_cards/images/000/056/789/original/news.jpg", FileRole.CACHE),
    ("mastodon", "preview_cards/images/000/056/789/original/news.jpg", FileRole.ORIGINAL),
    ("mastodon", "site_uploads/files/000/000/003/original/banner.png", FileRole.ORIGINAL),
    ("mastodon", "site_uploads/files/000/000/003/@2x/banner.png", FileRole.DERIVED),
    ("mastodon", "site_uploads/files/000/000/004/192/icon.png", FileRole.DERIVED),
    ("mastodon", "backups/dumps/000/000/007/original/archive-20261126.zip", FileRole.FOREIGN),
    ("mastodon", "cache/site_uploads/files/000/000/003/original/banner.png", FileRole.ORIGINAL),
    ("mastodon", "cache/notes.png", FileRole.ORIGINAL),
    ("misskey", UUID, FileRole.ORIGINAL),
    ("misskey", f"thumbnail-{UUID}", FileRole.DERIVED),
    ("misskey", f"media/webpublic-{UUID}.webp", FileRole.DERIVED),
    ("misskey", f"media/{UUID}.jpg", FileRole.ORIGINAL),
    ("misskey", "thumbnail-of-my-own.png", FileRole.ORIGINAL),
    ("firefish", f"thumbnail-{UUID}.webp", FileRole.DERIVED),
    ("firefish", f"{UUID}.png", FileRole.ORIGINAL),
    ("pixelfed", "public/m/_v2/424242/4c90d8e69-c5a1c2/6LiFwiyd14K5/FFc9817nys8v.jpg", FileRole.ORIGINAL),
    ("pixelfed", "public/m/_v2/424242/4c90d8e69-c5a1c2/6LiFwiyd14K5/FFc9817nys8v_thumb.jpg", FileRole.DERIVED),
    ("pixelfed", "public/m/_v2/424242/4c90d8e69-c5a1c2/6LiFwiyd14K5/FFc9817nys8v.m3u8", FileRole.DERIVED),
    ("pixelfed", "m/_v2/424242/4c90d8e69-c5a1c2/6LiFwiyd14K5/FFc9817nys8v.mp4", FileRole.ORIGINAL),
    ("pixelfed", "public/cache/avatars/515151/avatar_x7ab.jpg", FileRole.CACHE),
    ("pixelfed", "cache/avatars/515151/avatar_x7ab3.jpg", FileRole.ORIGINAL),
    ("pixelfed", "public/_esm.t3/aB3/xY9/26Zq/story.jpg", FileRole.ORIGINAL),
    ("pixelfed", "public/emoji/12.png", FileRole.ORIGINAL),
    ("akkoma", f"{SHA256}.jpg", FileRole.ORIGINAL),
    ("akkoma", f"{UUID}/holiday at the sea_thumb.jpg", FileRole.ORIGINAL),
    ("piefed", "posts/aB/3x/aB3xYz0123456Qw.webp", FileRole.ORIGINAL),
    ("piefed", "posts/aB/3x/aB3xYz0123456Qw_thumbnail.webp", FileRole.ORIGINAL),
    ("piefed", "users/q7/Rt/q7RtYz0123456Qw.png", FileRole.ORIGINAL),
]

CACHES = {
    "mastodon": r"cache/(accounts|media_attachments|custom_emojis|preview_cards)/[a-z]+/[\d/]+/original/[^/]+",
    "pixelfed": r"public/cache/avatars/\d+/[^/]+",
}
"""What each software treats as cache, written down a second time."""


@pytest.mark.parametrize(("layout", "name", "role"), ROLES)
def test_the_role_of_a_file(layout: str, name: str, role: FileRole) -> None:
    assert LAYOUTS[layout].classify(name) is role


@pytest.mark.parametrize(
    ("layout", "name", "words"),
    [
        ("mastodon", "accounts/avatars/000/001/234/original/me.gif", "/admin/accounts/1234: remove the avatar"),
        (
            "mastodon",
            "media_attachments/files/112/345/678/901/234/567/small/a.png",
            "tootctl media lookup https://YOUR.INSTANCE/system/media_attachments/files/112/345/678/901/234/567/small/a.png",
        ),
        ("mastodon", "cache/preview_cards/images/000/056/789/original/news.jpg", "tootctl preview_cards remove"),
        ("mastodon", "lost+found/a.png", "delete it by hand (lost%2Bfound/a.png)"),
        ("misskey", f"media/{UUID}.jpg", f'{{"url": "https://YOUR.INSTANCE/files/media/{UUID}.jpg"}}'),
        ("firefish", f"thumbnail-{UUID}", '/api/drive/files/delete {"fileId": "ID"}'),
        ("pixelfed", "m/_v2/424242/4c90-c5a1/6LiF/FFc9_thumb.jpg", "/i/admin/profiles/edit/424242"),
        ("pixelfed", "public/emoji/12.png", "delete emoji 12"),
        ("akkoma", f"{UUID}/at the sea.jpg", f"https://YOUR.INSTANCE/media/{UUID}/at%20the%20sea.jpg"),
        ("piefed", "posts/aB/3x/aB3x.webp", "flask daily-maintenance"),
        ("piefed", "users/q7/Rt/q7Rt.png", "flask remove_orphan_files"),
    ],
)
def test_the_removal_names_what_the_path_tells(layout: str, name: str, words: str) -> None:
    assert words in LAYOUTS[layout].removal(name)


def test_a_foreign_file_has_no_removal() -> None:
    with pytest.raises(ValueError, match="Mastodon has no media by this name"):
        LAYOUTS["mastodon"].removal("backups/dumps/000/000/007/original/archive.zip")


def test_what_goes_with_a_cache_file_is_of_its_record_alone() -> None:
    mastodon = LAYOUTS["mastodon"]
    record = "cache/media_attachments/files/112/345/678"
    assert mastodon.siblings(f"{record}/original/a.mp4") == (f"{record}/small/",)
    # A longer id begins as a shorter one does.
    assert not f"{record}/901/234/567/small/b.png".startswith(mastodon.siblings(f"{record}/original/a.mp4"))
    assert mastodon.siblings("cache/preview_cards/images/000/056/789/original/news.jpg") == ()
    assert mastodon.siblings("accounts/avatars/000/001/234/original/me.gif") == ()


NAMES = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.one_of(
            st.sampled_from(
                [part for _, name, _ in ROLES for part in name.split("/")]
                + ["..", ".", "", "cache", "public", "original"]
            ),
            st.text(max_size=8),
        ),
        max_size=12,
    ).map("/".join),
    st.tuples(st.sampled_from([name for _, name, _ in ROLES]), st.integers(0, 200), st.text(max_size=3)).map(
        lambda drawn: drawn[0][: drawn[1]] + drawn[2] + drawn[0][drawn[1] :]
    ),
)
"""Any text; the parts of real paths in any order; real paths with something put in."""


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@given(name=NAMES)
def test_every_name_has_a_role_and_only_caches_may_be_unlinked(layout: Layout, name: str) -> None:
    role = layout.classify(name)
    assert role in FileRole
    hostile = bool(re.search(r"(^|/)\.{0,2}(/|$)", name)) or any(
        ord(each) in {*range(32), *range(127, 160)} for each in name
    )
    if hostile:
        assert role is FileRole.ORIGINAL
    if role is FileRole.CACHE:
        assert re.fullmatch(CACHES.get(layout.name, "(?!)"), name)
    else:
        assert layout.siblings(name) == ()
    if role is not FileRole.FOREIGN:
        assert layout.removal(name).isprintable()
        assert "{" not in layout.removal(name).replace('{"url": ', "").replace('{"fileId": ', "")


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/etc/a.png",
        "..",
        "a/../b.png",
        "a//b.png",
        "a/",
        "./a.png",
        "a\n.png",
        "\x1b[2Ja.png",
        "a\x00.png",
        "a\x9b.png",
    ],
)
def test_hostile_names_are_scanned_and_never_unlinked(layout: Layout, name: str) -> None:
    assert layout.classify(name) is FileRole.ORIGINAL


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("prefix", ["cache/", "public/cache/avatars/1/"])
def test_a_hostile_name_in_a_cache_may_not_be_unlinked(layout: Layout, prefix: str) -> None:
    assert layout.classify(f"{prefix}../../a.png") is FileRole.ORIGINAL


def test_a_name_of_other_bytes_can_be_told() -> None:
    name = b"0c9f/caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert LAYOUTS["akkoma"].classify(name) is FileRole.ORIGINAL
    assert "/media/0c9f/caf%E9.jpg" in LAYOUTS["akkoma"].removal(name)


def test_a_name_cannot_end_the_command_that_it_stands_in() -> None:
    removal = LAYOUTS["mastodon"].removal("media_attachments/files/000/000/001/original/`id`;$(id) '\".png")
    assert "original/%60id%60%3B%24%28id%29%20%27%22.png" in removal
