"""The admin API's lists: banks, entries, files of them, and decisions whose pictures are allowed or denied."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from serve_app.admin_api import ADMIN_PATH
from serve_app.domain import (
    Listed,
    ListMatch,
    Verdict,
)
from serve_app.domain.canary import CANARY_PDQ, CANARY_SHA256
from serve_app.domain.lists import (
    DENY_RADIUS_BITS,
    Bank,
    EntryDraft,
    Fingerprint,
    FingerprintType,
    ListEntry,
    ListKind,
)
from serve_app.http.routes.admin import list_files
from serve_app.media.canary import canary_png
from tests.unit.http.list_admin import LET_THROUGH, NOON, PICTURE, SHA256, Admin, decision, running_admin
from tests.unit.listed_decisions import PDQ


@pytest.fixture
async def admin(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Admin]:
    async with running_admin(monkeypatch) as service:
        yield service


def draft(number: int, **changed: Any) -> EntryDraft:
    fingerprint = Fingerprint(FingerprintType.SHA256, bytes([number] * 32))
    made = EntryDraft(kind=ListKind.DENY, fingerprint=fingerprint, bank="ours", reason="known", author="anna")
    return replace(made, **changed)


# Decisions on a list


async def test_a_refused_picture_is_allowed_by_its_bytes_and_by_its_look(admin: Admin) -> None:
    await admin.ledger.record(decision())
    told = await admin.post("/decisions/r-1/allow", reason="a red tent")
    assert [(each["kind"], each["bank"], each["type"]) for each in told["entries"]] == [
        ("allow", "allowed", "sha256"),
        ("allow", "allowed", "pdq"),
    ]
    first, second = told["entries"]
    assert (first["hash"], second["hash"], second["quality"]) == (SHA256, PDQ.hex(), 90)
    assert (first["author"], first["reason"], first["source"]) == ("alice", "a red tent", "decision r-1")
    assert (told["notes"], told["pending"]) == ([], [])
    assert [each.id for each in admin.lists.page()] == [first["id"], second["id"]]


async def test_a_denied_picture_has_its_bank_expiry_and_pending_copies_named(admin: Admin) -> None:
    for each in (decision(), decision("r-2", LET_THROUGH, kept=True)):
        await admin.ledger.record(each)
    wanted: dict[str, Any] = {"reason": "spam", "bank": "spam", "expires_at": "2099-01-01T00:00:00Z"}
    told = await admin.post("/decisions/r-1/deny", **wanted)
    assert told["pending"] == ["r-2"]
    assert {(each["bank"], each["expires_at"]) for each in told["entries"]} == {("spam", "2099-01-01T00:00:00Z")}
    again = await admin.post("/decisions/r-1/deny", **wanted)
    assert [each["id"] for each in again["entries"]] == [each["id"] for each in told["entries"]]


async def test_a_picture_that_nobody_scanned_is_denied_by_its_bytes_and_never_allowed(admin: Admin) -> None:
    await admin.ledger.record(decision(outcome=LET_THROUGH))
    told = await admin.post("/decisions/r-1/allow", 409, reason="x")
    assert told["reason"] == "conflict"
    assert "not scanned to its end" in told["message"]
    told = await admin.post("/decisions/r-1/deny", reason="x")
    assert [each["type"] for each in told["entries"]] == ["sha256"]
    assert "exactly these bytes" in told["notes"][0]


async def test_what_an_entry_denies_cannot_be_allowed_before_it_is_removed(admin: Admin) -> None:
    await admin.ledger.record(decision())
    denied = (await admin.post("/decisions/r-1/deny", reason="x"))["entries"]
    told = await admin.post("/decisions/r-1/allow", 409, reason="y")
    assert f"remove entry {denied[0]['id']} (bank denied) first" in told["message"]
    await admin.ask(f"/lists/entries/{denied[0]['id']}", method="DELETE")
    told = await admin.post("/decisions/r-1/allow", reason="y")
    assert f"entry {denied[1]['id']} (bank denied) has the same PDQ" in told["notes"][0]


async def test_entries_that_decide_nothing_contradict_nobody(admin: Admin) -> None:
    await admin.ledger.record(decision())
    admin.lists.put_bank(Bank("trial", is_shadow=True))
    over = NOON - timedelta(days=1)
    for changed in ({"bank": "trial"}, {"bank": "old", "expires_at": over}, {"bank": "flooding"}):
        admin.lists.add([draft(0, fingerprint=Fingerprint(FingerprintType.SHA256, bytes.fromhex(SHA256)), **changed)])
    admin.lists.suspend([3])
    assert len((await admin.post("/decisions/r-1/allow", reason="y"))["entries"]) == 2


async def test_whoever_adds_to_what_decides_nothing_is_told(admin: Admin) -> None:
    await admin.ledger.record(decision())
    admin.lists.put_bank(Bank("trial", is_shadow=True))
    told = await admin.post("/decisions/r-1/deny", reason="x", bank="trial")
    assert told["notes"] == ["the bank trial is shadow: its entries match, and decide nothing"]


async def test_what_a_person_puts_on_a_list_can_be_suspended_until_it_is_confirmed(admin: Admin) -> None:
    await admin.ledger.record(decision())
    made = (await admin.post("/decisions/r-1/deny", reason="x"))["entries"]
    assert [(each["type"], each["confirmed"]) for each in made] == [("sha256", False), ("pdq", False)]
    (perceptual,) = (each["id"] for each in made if each["type"] == "pdq")
    assert admin.lists.suspend([perceptual]) == 1
    again = await admin.post("/decisions/r-1/deny", reason="y")
    assert again["notes"] == [
        f"entry {perceptual} was there already: it is suspended, and matches nothing until you run pictwarden list "
        f"confirm {perceptual}"
    ]
    await admin.ask(f"/lists/entries/{perceptual}/confirm", method="POST")
    assert (await admin.post("/decisions/r-1/deny", reason="z"))["notes"] == []
    assert admin.lists.suspend([perceptual]) == 0


async def test_a_ban_is_never_suspended_also_if_an_import_had_its_entries(admin: Admin) -> None:
    exact = Fingerprint(FingerprintType.SHA256, bytes.fromhex(SHA256))
    admin.lists.add([draft(0, fingerprint=exact, bank="banned")])
    admin.lists.suspend([1])
    alias = admin.pictrs.store(PICTURE)
    told = await admin.post("/pictures/ban", reference=alias, reason="x", purge=True)
    assert [(each["suspended_at"], each["confirmed"]) for each in told["entries"]] == [(None, True)] * 2
    assert told["notes"] == []
    assert admin.lists.suspend([each["id"] for each in told["entries"]]) == 0


async def test_what_a_list_decided_unseen_is_listed_by_what_was_seen_before(admin: Admin) -> None:
    listed = Listed(Verdict.REJECT, "denied", "1", "spam")
    await admin.ledger.record(decision("r-2", listed))
    assert [each["type"] for each in (await admin.post("/decisions/r-2/deny", reason="x"))["entries"]] == ["sha256"]
    await admin.ledger.record(decision("r-1"))
    told = await admin.post("/decisions/r-2/deny", reason="x")
    assert ([each["type"] for each in told["entries"]], told["notes"]) == (["sha256", "pdq"], [])
    alias, admin.outcome = admin.pictrs.store(PICTURE), listed
    assert (await admin.post("/pictures/ban", reference=alias, reason="x"))["types"] == ["sha256", "pdq"]


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/decisions/r-9/allow", {"reason": "x"}, 404),
        ("/decisions/r-1/allow", {"reason": " "}, 422),
        ("/decisions/r-1/allow", {"reason": "a\0b"}, 422),
        ("/decisions/r-1/allow", {"reason": "x", "bank": "No Name"}, 422),
        ("/decisions/r-1/deny", {"reason": "x", "expires_at": "2099-01-01T00:00:00"}, 422),
    ],
)
async def test_an_unclear_wish_makes_no_entry(admin: Admin, path: str, fields: dict[str, Any], status: int) -> None:
    await admin.ledger.record(decision())
    await admin.post(path, status, **fields)
    assert admin.kinds() == []


# Entries


async def test_fingerprints_are_added_and_removed_and_the_audit_says_which(admin: Admin) -> None:
    given = {"type": "md5", "hash": "AB" * 16}
    told = await admin.post("/lists/entries", kind="deny", reason="x", bank="theirs", fingerprints=[given])
    (made,) = told["entries"]
    assert (made["hash"], made["bank"], made["author"]) == ("ab" * 16, "theirs", "alice")
    assert (await admin.ask(f"/lists/entries/{made['id']}", method="DELETE"))["id"] == made["id"]
    assert admin.kinds() == []
    entry = (await admin.ledger.audit_trail())[0]
    assert (entry.actor, entry.action) == ("alice", "list remove")
    assert entry.detail == {"entry": made["id"], "bank": "theirs", "kind": "deny", "reason": "x"}
    await admin.ask(f"/lists/entries/{made['id']}", 404, "DELETE")


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "allow", "fingerprints": [{"type": "md5", "hash": "ab" * 16}]},
        {"kind": "deny", "fingerprints": [{"type": "pdq", "hash": "ab" * 16}]},
        {"kind": "deny", "fingerprints": [{"type": "sha256", "hash": "ab" * 32, "quality": 5}]},
        {"kind": "deny", "fingerprints": [{"type": "pdq", "hash": "ab" * 32, "quality": 49}]},
        {"kind": "deny", "fingerprints": []},
    ],
)
async def test_wrong_fingerprints_are_refused(admin: Admin, given: dict[str, Any]) -> None:
    assert (await admin.post("/lists/entries", 422, reason="x", **given))["reason"] == "invalid"
    assert admin.kinds() == []


async def test_entries_are_paged_and_filtered(admin: Admin) -> None:
    admin.lists.add([draft(number) for number in range(1, 6)])
    admin.lists.add([draft(1, kind=ListKind.ALLOW), draft(7, bank="theirs")])
    page = await admin.ask("/lists/entries", params={"bank": "ours", "kind": "deny", "limit": 3})
    rest = await admin.ask("/lists/entries", params={"bank": "ours", "kind": "deny", "after": page["after"]})
    assert [[each["id"] for each in of["entries"]] for of in (page, rest)] == [[1, 2, 3], [4, 5]]
    assert rest["after"] is None
    admin.lists.suspend([2])
    (waiting,) = (await admin.ask("/lists/entries", params={"suspended": True}))["entries"]
    assert waiting["suspended_at"] is not None
    told = await admin.ask("/lists/entries/2/confirm", method="POST")
    assert (told["suspended_at"], told["confirmed"]) == (None, True)
    assert (await admin.ask("/lists/entries", params={"suspended": True}))["entries"] == []
    await admin.ask("/lists/entries/99/confirm", 404, "POST")


# Banks


async def test_banks_are_made_changed_and_removed(admin: Admin) -> None:
    admin.lists.add([draft(1), draft(2)])
    made = await admin.ask("/lists/banks/trial", method="PUT", json={"shadow": True})
    assert made == {"name": "trial", "entries": 0, "shadow": True, "exportable": True}
    banks = (await admin.ask("/lists/banks"))["banks"]
    assert [(each["name"], each["entries"], each["shadow"]) for each in banks] == [
        ("ours", 2, False),
        ("trial", 0, True),
    ]
    assert (await admin.ask("/lists/banks/ours", method="DELETE"))["entries"] == 2
    await admin.ask("/lists/banks/ours", 404, "DELETE")
    await admin.ask("/lists/banks/Ours", 422, "PUT", json={})


async def test_nobody_makes_or_adds_to_the_bank_of_the_canary(admin: Admin) -> None:
    await admin.ledger.record(decision())
    given = [{"type": "sha256", "hash": "ab" * 32}]
    params = {"bank": "canary", "format": "plain", "kind": "deny"}
    for refused in (
        await admin.ask("/lists/banks/canary", 422, "PUT", json={}),
        await admin.post("/decisions/r-1/deny", 422, reason="x", bank="canary"),
        await admin.post("/lists/entries", 422, reason="x", bank="canary", kind="deny", fingerprints=given),
        await admin.ask("/lists/import", 422, "POST", params=params, content=b"md5 " + b"ab" * 16),
    ):
        assert "the bank canary is built in" in refused["message"]
    assert admin.kinds() == []
    assert admin.lists.banks() == {}


_NEAR_THE_CANARY = (int.from_bytes(CANARY_PDQ) ^ ((1 << DENY_RADIUS_BITS) - 1)).to_bytes(32)
_RE_ENCODED = b"the canary, as pict-rs has encoded it"


@pytest.mark.parametrize(
    ("type_", "digest"),
    [
        ("sha256", hashlib.sha256(canary_png()).digest()),
        ("sha256", hashlib.sha256(_RE_ENCODED).digest()),
        ("pdq", CANARY_PDQ),
        ("pdq", _NEAR_THE_CANARY),
    ],
)
async def test_nobody_allows_the_canary_by_a_hash(admin: Admin, type_: str, digest: bytes) -> None:
    of_the_canary = Listed(Verdict.REJECT, "canary", "0", "the canary", ListMatch.PERCEPTUAL, 3, 0)
    await admin.ledger.record(decision("r-1", of_the_canary, body=_RE_ENCODED))
    given = [{"type": type_, "hash": digest.hex()}]
    answer = await admin.http.post(
        f"{ADMIN_PATH}/lists/entries", json={"kind": "allow", "reason": "x", "fingerprints": given}
    )
    assert answer.status_code in {409, 422}
    assert "the canary cannot be allowed" in answer.json()["message"]
    assert admin.kinds() == []
    denied = await admin.post("/lists/entries", kind="deny", reason="x", fingerprints=given)
    assert [each["kind"] for each in denied["entries"]] == ["deny"]


async def test_nobody_allows_the_canary_by_a_decision_a_picture_or_a_file(admin: Admin) -> None:
    looks_like_it = replace(decision(), sha256=CANARY_SHA256.hex())
    await admin.ledger.record(looks_like_it)
    told = await admin.post("/decisions/r-1/allow", 409, reason="x")
    assert "the canary cannot be allowed" in told["message"]
    admin.outcome = Listed(Verdict.REJECT, "canary", "0", "the canary", ListMatch.PERCEPTUAL, 3, 0)
    told = await admin.post("/pictures/list", 409, reason="x", kind="allow", reference=admin.pictrs.store(_RE_ENCODED))
    assert "the canary cannot be allowed" in told["message"]
    wanted = {"bank": "theirs", "format": "plain", "kind": "allow", "name": "a.txt"}
    content = f"sha256 {CANARY_SHA256.hex()}\npdq {_NEAR_THE_CANARY.hex()}\n".encode()
    told = await admin.ask("/lists/import", 422, "POST", params=wanted, content=content)
    assert told["message"].count("the canary cannot be allowed") == 2
    assert admin.kinds() == []


def test_an_entry_that_allowed_it_before_can_still_be_read() -> None:
    fingerprint = Fingerprint(FingerprintType.PDQ, CANARY_PDQ)
    ListEntry(id=1, kind=ListKind.ALLOW, fingerprint=fingerprint, bank="allowed", reason="x", added_at=NOON)


async def test_a_bank_under_contract_stays_so_and_shows_no_hash(admin: Admin) -> None:
    await admin.ask("/lists/banks/ours", method="PUT", json={"exportable": False})
    admin.lists.add([draft(1), draft(2, bank="free")])
    hashes = [each["hash"] for each in (await admin.ask("/lists/entries"))["entries"]]
    assert hashes == [None, "02" * 32]
    await admin.ask("/lists/banks/ours", 409, "PUT", json={"exportable": True})
    assert "not exportable" in (await admin.ask("/lists/export", 409, params={"bank": "ours"}))["message"]
    answer = await admin.http.get(f"{ADMIN_PATH}/lists/export", params={"format": "plain"})
    assert answer.text == f"sha256 {'02' * 32}\n"


# Files


async def test_a_file_is_imported_and_exported_again(admin: Admin) -> None:
    lines = "".join(f"{number:064x}\n" for number in range(1, 2001))
    wanted = {"bank": "theirs", "format": "plain", "kind": "deny", "type": "sha256", "reason": "bought"}
    told = await admin.ask("/lists/import", method="POST", params=wanted, content=lines.encode() + b"# the end\n")
    assert told == {"bank": "theirs", "changed": 2000, "known": 0, "skipped": 1}
    told = await admin.ask("/lists/import", method="POST", params=wanted, content=lines.encode())
    assert (told["changed"], told["known"]) == (0, 2000)
    answer = await admin.http.get(f"{ADMIN_PATH}/lists/export", params={"format": "plain", "bank": "theirs"})
    assert answer.text == "".join(f"sha256 {line}\n" for line in lines.split())
    entry = admin.lists.page()[0]
    assert (entry.reason, entry.author) == ("bought", "alice")
    await admin.ask("/lists/export", 404, params={"bank": "nobodys"})


async def test_a_file_with_a_wrong_line_is_not_imported_at_all(admin: Admin) -> None:
    content = f"sha256 {'1' * 64}\nsha256 1234\n".encode()
    wanted = {"bank": "theirs", "format": "plain", "kind": "deny", "name": "a.txt"}
    told = await admin.ask("/lists/import", 422, "POST", params=wanted, content=content)
    assert told["message"].splitlines() == [
        "a.txt:2: a sha256 has 64 hexadecimal digits",
        "1 entries, 0 lines skipped, 1 lines wrong",
        "nothing was imported",
    ]
    assert admin.kinds() == []


async def test_a_file_may_be_larger_than_other_bodies_and_has_a_limit(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lines(count: int) -> AsyncIterator[bytes]:
        for number in range(count):
            yield f"{number:064x}\n".encode() * 1000

    wanted = {"bank": "theirs", "format": "plain", "kind": "deny", "type": "sha256"}
    told = await admin.ask("/lists/import", method="POST", params=wanted, content=lines(20))
    assert told["changed"] + told["known"] == 20_000
    monkeypatch.setattr(list_files, "MAX_FILE_BYTES", 100_000)
    assert (await admin.ask("/lists/import", 413, "POST", params=wanted, content=lines(20)))["reason"] == "too_large"


async def test_lists_that_cannot_be_read_are_said_to_be_unavailable(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError("a detail of ours")

    monkeypatch.setattr(admin.lists, "banks", fail)
    told = await admin.ask("/lists/banks", 503)
    assert told == {
        "reason": "unavailable",
        "message": "the lists cannot be read or written: see the log of the service",
    }
