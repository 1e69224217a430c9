"""The decision on a picture that a real pict-rs has stored, found by what an admin sees: its alias, or its URL."""

from __future__ import annotations

import hashlib

from tests.e2e.pictrs.conftest import landscape
from tests.e2e.pictrs.validating import Validation


def urls(alias):
    yield alias
    yield f"https://lemmy.example/pictrs/image/{alias}"
    yield f"https://lemmy.example/pictrs/image/{alias}?format=webp&thumbnail=256"


def test_a_stored_picture_is_found_by_its_alias_and_by_its_url(both, races):
    pictrs, scanner, command = both
    body = landscape(500_000)
    (alias,) = Validation(pictrs, scanner, races).upload(body)[0].aliases
    for reference in urls(alias):
        told = command("why", reference)
        assert f"sha256 {hashlib.sha256(body).hexdigest()}, 500,000 bytes, image/png" in told
        assert "accept" in told


def test_so_is_one_of_which_pict_rs_has_sent_the_first_part_alone(both, races):
    """pict-rs does so by chance: so the test sends the part itself, and has the decision on the whole forgotten."""
    pictrs, scanner, command = both
    body = landscape()
    (alias,) = Validation(pictrs, scanner, races).upload(body)[0].aliases
    part = body[: len(body) // 2]
    assert scanner.service.scan(part).status_code == 200
    command("forget", hashlib.sha256(body).hexdigest(), "--yes")
    for reference in urls(alias):
        told = command("why", reference)
        assert f"pict-rs sent only the first {len(part):,} of this picture's {len(body):,} bytes." in told
        assert f"sha256 {hashlib.sha256(part).hexdigest()}, {len(part):,} bytes" in told
        assert "pending" in told
