"""A picture that passed, banned by an admin's command: purged from a real pict-rs, and refused when it comes back.

Copies of it that were stored before are found in the ledger, and purged too.
"""

from __future__ import annotations

import hashlib
import io

from PIL import Image

from serve_app.domain import Lane
from serve_app.pictrs import API_KEY_ENV
from serve_app.wire import LANE_HEADER
from tests.e2e.pictrs.conftest import landscape, new_picture
from tests.e2e.pictrs.server import API_KEY
from tests.e2e.pictrs.validating import Validation
from tests.serve.conftest import ROOT, wait_for

SAMPLE = ROOT / "serve_app" / "cli" / "samples" / "landscape.jpg"


def test_a_banned_picture_is_purged_and_does_not_come_back(both, races):
    pictrs, scanner, command = both
    validation = Validation(pictrs, scanner, races)
    body = landscape(600_000)
    upload, _ = validation.upload(body)
    (alias,) = upload.aliases

    shown = command("ban", "--url", f"https://lemmy.example/pictrs/image/{alias}", "--reason", "spam")
    assert "would deny, in bank banned: sha256 and pdq" in shown
    assert pictrs.original(alias).content == body

    assert f"purged: {alias}" in command("ban", "--alias", alias, "--reason", "spam", "--purge")
    assert pictrs.original(alias).status_code == 404
    assert pictrs.hashes() == []

    # What passes before the lists have followed is no image server's: a hunt would wait for one to store it.
    headers = {LANE_HEADER: Lane.BACKGROUND}
    for again in (body, landscape(610_000)):
        wait_for(lambda again=again: scanner.service.scan(again, headers=headers).status_code == 406, 10)
        upload, _ = validation.upload(again)
        assert (upload.status, upload.code) == (400, "failed-external-validation")
        told = command("why", hashlib.sha256(again).hexdigest())
        assert "list banned, entry" in told
        assert "spam" in told


def turned(quarters):
    """A half of the landscape, which resembles none of the whole, turned by so many quarters."""
    file = io.BytesIO()
    with Image.open(SAMPLE) as whole:
        whole.crop((0, 0, whole.width // 2, whole.height)).rotate(90 * quarters, expand=True).save(file, "PNG")
    return file.getvalue()


def test_the_copies_of_a_banned_picture_are_found_and_purged(both, races):
    pictrs, scanner, command = both
    validation = Validation(pictrs, scanner, races)
    (banned, *copies), other = [turned(quarters) for quarters in range(3)], new_picture()
    aliases = {body: validation.upload(body)[0].aliases for body in (banned, *copies, other)}

    command("ban", "--alias", aliases[banned][0], "--reason", "spam", "--purge")
    hunt = ("hunt", "--config", "config.yaml", "--bank", "banned", "--purge")
    lines = command(*hunt, **{API_KEY_ENV: API_KEY}).splitlines()
    assert lines[-1].endswith(" gone, 2 purged")
    for copy in copies:
        assert pictrs.original(*aliases[copy]).status_code == 404
    assert pictrs.original(*aliases[other]).status_code == 200
    assert command("purges").count("hunt: entry") == 2
