"""A picture that passed, banned by an admin's command: purged from a real pict-rs, and refused when it comes back."""

from __future__ import annotations

import hashlib

import pytest

from tests.e2e.pictrs.conftest import landscape
from tests.e2e.pictrs.validating import Validation
from tests.serve.conftest import wait_for

pytestmark = pytest.mark.timeout(180)


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

    for again in (body, landscape(610_000)):
        wait_for(lambda again=again: scanner.service.scan(again).status_code == 406, 10)
        upload, _ = validation.upload(again)
        assert (upload.status, upload.code) == (400, "failed-external-validation")
        told = command("why", hashlib.sha256(again).hexdigest())
        assert "list banned, entry" in told
        assert "spam" in told
