"""The layouts that are known. docs/storage.md has the same table, with the files that were read for it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from serve_app.storage.layouts.layout import FileRole, Layout, Rule

_ORIGINAL, _DERIVED, _CACHE, _FOREIGN = FileRole.ORIGINAL, FileRole.DERIVED, FileRole.CACHE, FileRole.FOREIGN

# Mastodon: [cache/]<table>/<attachment>/<id, three digits a part>/<style>/<file>. Only what is not local is in cache/.
_ID = r"(?P<partition>\d{3}(?:/\d{3}){2}|\d{3}(?:/\d{3}){5})"
_POST_OF_MEDIA = (
    "`tootctl media lookup https://YOUR.INSTANCE/system/{url}` prints the post; delete it there, as a moderator"
)
_CACHED_MEDIA = "`tootctl media remove --days N` removes media of other servers older than N days (this is media {id})"
_PRUNE = (
    "`tootctl media remove --prune-profiles --include-follows --days N` removes the pictures of accounts that were not "
    "updated for N days (this is account {id}: /admin/accounts/{id})"
)
_EMOJI = "/admin/custom_emojis: delete the emoji (it is number {id})"
_CARDS = "`tootctl preview_cards remove --days N` removes pictures of cards older than N days (this is card {id})"


def _mastodon(attachment: str, removal: str, cached: str = "", styles: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    """The rules of one attachment: its originals; their copies in ``cache/``; other styles, made from either."""
    path = rf"{attachment}/{_ID}"
    rules = [Rule(re.compile(rf"{path}/original/[^/]+"), _ORIGINAL, removal)]
    if cached:
        rules.append(Rule(re.compile(rf"cache/{path}/original/[^/]+"), _CACHE, cached, styles))
    for style in styles:
        rules.append(Rule(re.compile(rf"{path}/{style}/[^/]+"), _DERIVED, removal))
        if cached:
            rules.append(Rule(re.compile(rf"cache/{path}/{style}/[^/]+"), _DERIVED, cached))
    return tuple(rules)


_MASTODON = Layout(
    name="mastodon",
    software="Mastodon",
    version="4.3.0-beta.1, 4.6.0-alpha.7",
    referrers="a row (`media_attachments`, `accounts`, `custom_emojis`, `preview_cards`, `site_uploads`); "
    "its smaller sizes; the cache of a CDN",
    rules=(
        *_mastodon("media_attachments/files", _POST_OF_MEDIA, _CACHED_MEDIA, ("small",)),
        *_mastodon("media_attachments/thumbnails", _POST_OF_MEDIA, _CACHED_MEDIA),
        *_mastodon("accounts/avatars", "/admin/accounts/{id}: remove the avatar", _PRUNE, ("static",)),
        *_mastodon("accounts/headers", "/admin/accounts/{id}: remove the header", _PRUNE, ("static",)),
        *_mastodon("custom_emojis/images", _EMOJI, _EMOJI, ("static",)),
        *_mastodon("preview_cards/images", _CARDS, _CARDS),
        *_mastodon(
            "site_uploads/files",
            "/admin/settings/branding: delete the picture there (it is site upload {id})",
            styles=("@[12]x", r"\d+", "ico"),
        ),
        Rule(re.compile(rf"(?:backups/dumps|imports/data)/{_ID}/original/[^/]+"), _FOREIGN),
    ),
    removal_of_others="Mastodon gives no file this name: look up who put it there, then delete it by hand ({url})",
)

# Misskey: [<prefix>/]<key>. Copies of remote files have such keys too, so that no name tells them apart.
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DRIVE = (
    'POST /api/admin/drive/show-file {{"url": "https://YOUR.INSTANCE/files/{url}"}} answers with its id (in object '
    'storage, the URL is that of the bucket); POST /api/drive/files/delete {{"fileId": "ID"}}, as a moderator'
)
_DRIVE_RULES = (Rule(re.compile(rf"(?:.+/)?(?:thumbnail|webpublic)-{_UUID}(?:\.\w+)?"), _DERIVED, _DRIVE),)
_DRIVE_REFERRERS = (
    "a row of `drive_file`, and by it posts, avatars, banners and emoji; `thumbnail-…` and `webpublic-…`, whose names "
    "only that row knows; the cache of a CDN"
)


def _drive(name: str, software: str, version: str) -> Layout:
    return Layout(name, software, version, _DRIVE_REFERRERS, _DRIVE_RULES, removal_of_others=_DRIVE)


_MISSKEY = _drive("misskey", "Misskey", "2023.9.3, 2026.8.0-alpha.0")
_FIREFISH = _drive("firefish", "Firefish", "1.0.5-dev16, 20240221-1")

# Pixelfed: the local disk and object storage have the same names, with one exception. In object storage, cache/avatars/
# has avatars of local users too; on the local disk, public/cache/avatars/ has those of other servers only.
_MEDIA = (
    "find the post that shows {url} (its profile: /i/admin/profiles/edit/{profile}) and delete it as an admin; "
    "`php artisan media:gc` removes uploads that belong to no post"
)
_M = r"(?:public/)?m/_v2/(?P<profile>\d+)/[^/]+/[^/]+/[^/]+"

_PIXELFED = Layout(
    name="pixelfed",
    software="Pixelfed",
    version="development branch, commit 00af376f",
    referrers="a row (`media`, `avatars`, `stories`, `custom_emoji`); `…_thumb.…`; parts of a video (`.m3u8`, `.ts`); "
    "its copy on the other disk (local, cloud); the cache of a CDN",
    rules=(
        Rule(re.compile(rf"{_M}(?:_thumb\.\w+|\.m3u8|\.ts)"), _DERIVED, _MEDIA),
        Rule(re.compile(_M), _ORIGINAL, _MEDIA),
        Rule(
            re.compile(r"public/cache/avatars/(?P<profile>\d+)/[^/]+"),
            _CACHE,
            "`php artisan avatar:storage` manages avatars of other servers (profile {profile})",
        ),
        Rule(
            re.compile(r"cache/avatars/(?P<profile>\d+)/[^/]+"),
            _ORIGINAL,
            "/i/admin/profiles/edit/{profile}: its profile",
        ),
        Rule(re.compile(r"(?:public/)?avatars/.+"), _ORIGINAL, "/i/admin/profiles/list: the profile with {url}"),
        Rule(
            re.compile(r"(?:public/)?_esm\.t3/.+"),
            _ORIGINAL,
            "/i/admin/stories/list: the story with {url}; `php artisan story:gc` ends those that expired",
        ),
        Rule(
            re.compile(r"(?:public/)?emoji/(?P<emoji>\d+)\.\w+"),
            _ORIGINAL,
            "/i/admin/custom-emoji/home: delete emoji {emoji}",
        ),
    ),
    removal_of_others="look up which row of Pixelfed's database has {url}, and delete that in its admin pages",
)

_AKKOMA = Layout(
    name="akkoma",
    software="Akkoma",
    version="3.14 to 3.16.0",
    referrers="rows of `objects` (several, when the same bytes were posted again: the file has their digest as its "
    "name); avatars and banners in `users`; the caches of the media proxy and a CDN",
    rules=(),
    removal_of_others="find the post that shows https://YOUR.INSTANCE/media/{url} and delete it: DELETE "
    "/api/v1/pleroma/admin/statuses/ID. Akkoma then removes the file only with `cleanup_attachments: true`, and only "
    "when no other post has it; else delete the file by hand, after the post",
)

# PieFed: some thumbnails have no larger version beside them, so that each file is scanned.
_PIEFED = Layout(
    name="piefed",
    software="PieFed",
    version="1.7.0-dev, 1.7.17",
    referrers="a row of `file`, which cross-posts share, and by it posts, comments, users, communities, feeds; "
    "`…_thumbnail.…`; the cache of Cloudflare, which that removal leaves alone",
    rules=(
        Rule(
            re.compile(r"users/.+"),
            _ORIGINAL,
            "remove {url} from its user's profile, as an admin; `flask remove_orphan_files` removes files in users/ "
            "that no row of `file` names any more",
        ),
        Rule(
            re.compile(r"(?:communities|feeds)/.+"),
            _ORIGINAL,
            "remove {url} in the settings of the community or feed that shows it",
        ),
    ),
    removal_of_others="find the post that shows {url} and delete it as an admin; `flask daily-maintenance` removes its "
    "files when the post is 7 days old and no other post has them",
)

LAYOUTS: Mapping[str, Layout] = {
    each.name: each for each in (_MASTODON, _MISSKEY, _FIREFISH, _PIXELFED, _AKKOMA, _PIEFED)
}
