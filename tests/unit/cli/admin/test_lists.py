"""``pictwarden list``, ``allow``, ``deny``, ``ban``, and ``why`` of a stored picture, against the admin API itself."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from serve_app.cli.moments import expiry
from serve_app.domain import Unscanned, UnscannedReason
from serve_app.domain.lists import Bank, EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.pictrs import API_KEY_ENV
from serve_app.settings import parse_settings
from tests.contract.pictrs.stand_in import API_KEY, StandIn
from tests.unit.cli.admin_service import AdminService, Run, running_admin_service
from tests.unit.cli.running_stand_in import running_stand_in
from tests.unit.listed_decisions import PDQ, decision, reject
from tests.unit.outcomes import LET_THROUGH

PICTURE = b"the bytes of a picture"
SHA256 = hashlib.sha256(PICTURE).hexdigest()
DECISION = "1" * 32
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def pictrs() -> Iterator[StandIn]:
    with running_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
def admin(pictrs: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[AdminService]:
    monkeypatch.setenv(API_KEY_ENV, API_KEY)
    settings = parse_settings({"pictrs": {"url": pictrs.url, "max_purges_per_day": 1}})
    with running_admin_service(settings, reject) as service:
        yield service


def kinds(admin: AdminService) -> list[tuple[str, str, str]]:
    """Kind, bank and type of every entry."""
    return [(each.kind, each.bank, each.fingerprint.type) for each in admin.lists.page()]


def photograph() -> Image.Image:
    """Enough goes on in it for a PDQ."""
    wave = Image.radial_gradient("L").resize((256, 256)).point(lambda value: value * 7 % 256)
    return Image.merge("RGB", [wave, wave.rotate(90), wave.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])


# allow and deny


def test_a_decision_is_allowed(admin: AdminService, run: Run) -> None:
    admin.record(decision(DECISION, PICTURE))
    assert run("allow", DECISION, "--reason", "a red tent").output.splitlines() == [
        "allow entry 1 in bank allowed: sha256",
        "allow entry 2 in bank allowed: pdq",
    ]


def test_a_decision_is_denied_and_pending_copies_are_named(admin: AdminService, run: Run) -> None:
    unscanned = Unscanned(UnscannedReason.OVERLOADED, "no time was left")
    admin.record(decision(DECISION, PICTURE, unscanned, kept=True))
    lines = run("deny", DECISION, "--reason", "spam", "--bank", "spam", "--expires", "90d").output.splitlines()
    assert lines == [
        "deny entry 1 in bank spam: sha256",
        "note: no PDQ of it is known: the entry holds for exactly these bytes",
        f"pending: decision {DECISION} on the same bytes; pictwarden rescan scans its picture",
    ]
    assert admin.lists.page()[0].expires_at is not None


def test_what_cannot_be_allowed_is_refused_with_the_way_out(admin: AdminService, run: Run) -> None:
    admin.record(decision(DECISION, PICTURE, Unscanned(UnscannedReason.UNDECODABLE, "not a picture")))
    assert "pictwarden list add FILE --allow" in run("allow", DECISION, "--reason", "x", exit_code=2).stderr
    assert "no decision" in run("allow", "2" * 32, "--reason", "x", exit_code=2).stderr
    run("allow", DECISION, "--reason", " ", exit_code=2)
    run("allow", DECISION, "--reason", "x", "--expires", "yesterday", exit_code=2)
    assert "a bank's name" in run("deny", DECISION, "--reason", "x", "--bank", "No Name", exit_code=2).stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [("36h", NOON + timedelta(hours=36)), ("2026-03-01T13:00:00+01:00", datetime(2026, 3, 1, 12, tzinfo=UTC))],
)
def test_an_expiry_is_a_time_or_a_duration_from_now(text: str, expected: datetime) -> None:
    assert expiry(text, NOON) == expected


@pytest.mark.parametrize("text", ["soon", "0d", "2025-01-01T00:00:00Z", "99999999w"])
def test_another_expiry_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(ValueError, match="write a time such as"):
        expiry(text, NOON)


# list add, remove, confirm, show


def test_a_file_is_listed_by_its_bytes_and_its_look(admin: AdminService, run: Run) -> None:
    photograph().save("mine.png")
    told = run("list", "add", "mine.png", "--deny", "--reason", "spam").output.splitlines()
    assert told == ["deny entry 1 in bank denied: sha256", "deny entry 2 in bank denied: pdq"]
    exact, perceptual = admin.lists.page()
    assert exact.fingerprint.digest == hashlib.sha256(Path("mine.png").read_bytes()).digest()
    assert (exact.source, exact.author) == ("file mine.png", "alice")
    assert perceptual.fingerprint.can_match


def test_an_animation_is_allowed_by_every_frame_and_denied_by_its_bytes(admin: AdminService, run: Run) -> None:
    still = photograph()
    still.save("moves.gif", save_all=True, append_images=[still.rotate(45)])
    run("list", "add", "moves.gif", "--allow", "--reason", "x")
    assert "an animation" in run("list", "add", "moves.gif", "--deny", "--reason", "x").output
    assert [f"{kind} {of_type}" for kind, _, of_type in kinds(admin)] == [
        "allow sha256",
        "allow pdq",
        "allow pdq",
        "deny sha256",
    ]


def test_a_file_that_cannot_be_decoded_is_listed_by_its_bytes(admin: AdminService, run: Run) -> None:
    Path("text.png").write_text("no picture")
    assert "cannot be decoded" in run("list", "add", "text.png", "--deny", "--reason", "x").output
    assert [of_type for _, _, of_type in kinds(admin)] == ["sha256"]


def test_a_hash_a_decision_and_an_alias_are_listed(admin: AdminService, pictrs: StandIn, run: Run) -> None:
    admin.record(decision(DECISION, PICTURE))
    alias = pictrs.store(b"another picture")
    run("list", "add", "ab" * 16, "--deny", "--reason", "x")
    run("list", "add", f"pdq:{'cd' * 32}", "--allow", "--bank", "ours", "--reason", "x")
    run("list", "add", "--decision", DECISION, "--deny", "--reason", "x")
    run("list", "add", "--alias", alias, "--allow", "--reason", "x")
    assert kinds(admin) == [
        ("deny", "denied", "md5"),
        ("allow", "ours", "pdq"),
        ("deny", "denied", "sha256"),
        ("deny", "denied", "pdq"),
        ("allow", "allowed", "sha256"),
        ("allow", "allowed", "pdq"),
    ]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("ab" * 32, "--deny"), "pdq:HEX"),
        (("nothing.png", "--deny"), "neither a file nor a"),
        (("sha256:" + "ab" * 16, "--deny"), "64"),
        (("ab" * 16, "--allow"), "can be forged"),
        (("ab" * 16,), "--deny or --allow"),
        (("ab" * 16, "--deny", "--allow"), "--deny or --allow"),
        (("--deny",), "name one of"),
        (("ab" * 16, "--alias", "a.png", "--deny"), "name one of"),
        (("ab" * 16, "--deny", "--bank", "No Name"), "a bank's name"),
        (("ab" * 16, "--deny", "--bank", "canary"), "is built in"),
    ],
)
def test_an_unclear_wish_lists_nothing(admin: AdminService, run: Run, wrong: tuple[str, ...], told: str) -> None:
    assert told in " ".join(run("list", "add", *wrong, "--reason", "x", exit_code=2).stderr.split())
    assert kinds(admin) == []


def test_entries_are_shown_confirmed_and_removed(admin: AdminService, run: Run) -> None:
    admin.lists.put_bank(Bank("secret", is_exportable=False))
    imported = EntryDraft(
        kind=ListKind.DENY,
        fingerprint=Fingerprint(FingerprintType.SHA256, bytes.fromhex("ab" * 32)),
        bank="denied",
        reason="spam",
        author="alice",
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )
    admin.lists.add([imported])
    run("list", "add", f"sha256:{'cd' * 32}", "--deny", "--reason", "theirs", "--bank", "secret")
    admin.lists.suspend([1])
    header, first, second = run("list", "show").output.splitlines()
    assert header.split() == ["entry", "kind", "bank", "hash", "added", "by", "reason"]
    for wanted in ("1  deny", "sha256 abababab...", "alice", "spam (SUSPENDED", "until"):
        assert wanted in first
    assert "sha256 (hidden)" in second
    assert "matches, and is never suspended again" in run("list", "confirm", "1").output
    assert "spam (until" in run("list", "show", "--bank", "denied").output
    assert run("list", "show", "--suspended", "--json").output == ""
    assert json.loads(run("list", "show", "--limit", "1", "--json").stdout)["id"] == 1
    assert "--after 1" in run("list", "show", "--limit", "1").stderr
    assert "Removed the deny entry 1 from bank denied: spam" in run("list", "remove", "1").output
    assert "there is no entry 1" in run("list", "remove", "1", exit_code=2).stderr


# list banks


def test_banks_are_shown_and_changed(admin: AdminService, run: Run) -> None:
    assert "shadow: decides nothing" in run("list", "banks", "trial", "--shadow").output
    assert "not exportable" in run("list", "banks", "contract", "--not-exportable").output
    told = run("list", "banks", "trial", "--no-shadow").output
    assert "decides, exportable" in told
    assert [each for each in admin.lists.banks().values() if not each.is_exportable] == [
        Bank("contract", is_exportable=False)
    ]
    run("list", "banks", "contract", "--shadow")
    assert admin.lists.banks()["contract"] == Bank("contract", is_shadow=True, is_exportable=False)
    assert "Removed the bank trial with 0 entries" in run("list", "banks", "trial", "--remove").output
    assert run("list", "banks").output.splitlines()[1].split()[0] == "contract"
    run("list", "banks", "--shadow", exit_code=2)


# list import and export


def test_a_file_is_imported_and_exported(admin: AdminService, run: Run, tmp_path: Path) -> None:
    lines = "".join(f"sha256 {number:064x}\n" for number in range(1, 101))
    (tmp_path / "known.txt").write_text(f"# ours\n{lines}")
    told = run("list", "import", "known.txt", "--bank", "theirs", "--deny", "--reason", "bought", "--expires", "30d")
    assert told.stdout == (
        "Imported into bank theirs: 100 entries new or changed, 0 known, 1 lines skipped (nothing for these lists in "
        "them).\n"
    )
    assert run("list", "export", "--format", "plain", "--kind", "deny").stdout == lines
    run("list", "export", "out.jsonl", "--bank", "theirs")
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["reason"] == "bought"
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["known.txt", "out.jsonl"]


def test_a_file_with_a_wrong_line_is_named_with_it(admin: AdminService, run: Run, tmp_path: Path) -> None:
    (tmp_path / "known.csv").write_text(f"type,hash\nsha256,{'1' * 64}\nsha256,12\n")
    told = run("list", "import", "known.csv", "--bank", "theirs", "--deny", exit_code=2).stderr
    assert "known.csv:3: a sha256 has 64 hexadecimal digits" in told
    assert "nothing was imported" in told
    assert kinds(admin) == []
    (tmp_path / "known.dat").touch()
    assert "--format" in run("list", "import", "known.dat", "--bank", "theirs", exit_code=2).stderr


def test_an_export_that_fails_leaves_no_file(admin: AdminService, run: Run, tmp_path: Path) -> None:
    admin.lists.put_bank(Bank("secret", is_exportable=False))
    assert "never leave" in run("list", "export", "out.csv", "--bank", "secret", exit_code=2).stderr
    assert "cannot be written" in run("list", "export", "nowhere/out.csv", exit_code=2).stderr
    assert list(tmp_path.iterdir()) == []


# why and ban


def test_why_takes_an_alias_and_a_url(admin: AdminService, pictrs: StandIn, run: Run) -> None:
    admin.record(decision(DECISION, PICTURE))
    alias = pictrs.store(PICTURE)
    for reference in (alias, f"https://lemmy.example/pictrs/image/{alias}?format=webp"):
        assert DECISION in run("why", reference).output
    assert "no picture nothing.png" in run("why", "nothing.png", exit_code=2).stderr
    other = pictrs.store(b"another picture")
    assert "no decision is recorded on the stored picture" in run("why", other, exit_code=2).stderr


def test_why_takes_the_alias_of_a_picture_of_which_pict_rs_has_sent_the_first_part(
    admin: AdminService, pictrs: StandIn, run: Run
) -> None:
    part = PICTURE[:9]
    alias = pictrs.store(PICTURE)
    admin.record(decision("r-1", part, LET_THROUGH, kept=True))
    told = run("why", alias)
    assert f"sha256 {hashlib.sha256(part).hexdigest()}, 9 bytes" in told.stdout
    assert told.stderr == f"pict-rs sent only the first 9 of this picture's {len(PICTURE)} bytes.\n"


def test_a_ban_is_shown_and_then_done(admin: AdminService, pictrs: StandIn, run: Run) -> None:
    alias = pictrs.store(PICTURE)
    shown = run("ban", "--url", f"https://lemmy.example/pictrs/image/{alias}", "--reason", "spam").output
    assert shown.splitlines() == [
        f"picture: sha256 {SHA256}, {len(PICTURE)} bytes",
        "would deny, in bank banned: sha256 and pdq",
        f"would purge: {alias}",
        "to do it, run the same command with --purge",
    ]
    assert (kinds(admin), len(pictrs.stored)) == ([], 1)
    done = run("ban", "--alias", alias, "--reason", "spam", "--purge").output
    assert done.splitlines()[1:] == [
        "deny entry 1 in bank banned: sha256",
        "deny entry 2 in bank banned: pdq",
        f"purged: {alias}",
    ]
    assert (admin.lists.page()[1].fingerprint.digest, pictrs.stored) == (PDQ, [])
    assert "no picture" in run("ban", "--alias", alias, "--reason", "spam", exit_code=2).stderr


def test_a_file_is_banned_and_its_stored_copy_purged(admin: AdminService, pictrs: StandIn, run: Run) -> None:
    file = io.BytesIO()
    photograph().save(file, "PNG")
    Path("mine.png").write_bytes(file.getvalue())
    told = run("ban", "mine.png", "--reason", "spam").output
    assert "there is nothing to purge" in told
    assert "would deny, in bank banned: sha256 and pdq" in told
    assert kinds(admin) == []
    run("ban", "mine.png", "--reason", "spam", "--purge")
    assert kinds(admin) == [("deny", "banned", "sha256"), ("deny", "banned", "pdq")]
    alias = pictrs.store(file.getvalue())
    assert f"purged: {alias}" in run("ban", "mine.png", "--reason", "spam", "--purge").output


def test_a_ban_over_the_quota_says_that_the_picture_stays(admin: AdminService, pictrs: StandIn, run: Run) -> None:
    for body in (b"first", b"second"):
        alias = pictrs.store(body)
        result = run("ban", "--alias", alias, "--reason", "x", "--purge", exit_code=0 if body == b"first" else 2)
    assert "max_purges_per_day" in result.stderr
    assert len(pictrs.stored) == 1
    run("ban", "--reason", "x", exit_code=2)
    run("ban", "--alias", "a.png", "--reason", "x", "--bank", "No Name", exit_code=2)
