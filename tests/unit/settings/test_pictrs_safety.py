"""The environment of pictrs-safety: which ids permit scans, and what an admin is told of the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from serve_app.domain import UnauthorisedError
from serve_app.http.guard import Guard
from serve_app.logs import redaction
from serve_app.logs.redaction import MASK, redact
from serve_app.settings import AuthenticationSettings, parse_settings
from serve_app.settings.pictrs_safety import known_ids, notices

LONG_ID = "an-id-that-nobody-guesses"
LINE = "PICTRS__MEDIA__EXTERNAL_VALIDATION=http://HOST:14051/api/v1/scan/SECRET"

# As lemmy-ansible 0.19 deploys it, and as pictrs-safety's own compose sample does with its template of an environment.
LEMMY_ANSIBLE = {
    "FEDIVERSE_SAFETY_WORKER_AUTH": "abcdefghijk1234",
    "FEDIVERSE_SAFETY_IMGDIR": "/tmp/images",
    "USE_SQLITE": "1",
    "secret_key": "x" * 80,
    "SCAN_BYPASS_THRESHOLD": "10",
    "MISSING_WORKER_THRESHOLD": "5",
}
COMPOSE_SAMPLE = {
    "USE_SQLITE": "0",
    "FEDIVERSE_SAFETY_WORKER_AUTH": "abcdfeg123456",
    "FEDIVERSE_SAFETY_IMGDIR": "/tmp/images",
    "POSTGRES_URI": "postgresql://pictrsafety:ThatSecretPGSQLPass@127.0.0.1/pictrsafety",
    "SQLALCHEMY_DATABASE_URI": "sqlite:///fedi_safety_api.db",
    "KNOWN_PICTRS_IPS": '["192.168.0.1"]',
}


@pytest.fixture(autouse=True)
def no_secrets() -> Iterator[None]:
    """No other test finds its texts hidden."""
    yield
    redaction._hidden, redaction._forms, redaction._quoted = frozenset(), (), ()


def told(environment: Mapping[str, str], **args: Any) -> str:
    return "\n".join(notices(parse_settings(args), environment))


@pytest.mark.parametrize("environment", [LEMMY_ANSIBLE, COMPOSE_SAMPLE])
def test_every_variable_without_a_meaning_is_named_and_no_value_is_shown(environment: dict[str, str]) -> None:
    text = told(environment)
    for name, value in environment.items():
        has_meaning = (name, value) == ("USE_SQLITE", "1")
        assert (name in text) != has_meaning
        assert value in ("0", "1", "10", "5") or value not in text
    assert LINE in text


def test_workers_of_fedi_safety_that_may_stay_need_a_secret_of_a_worker() -> None:
    text = told(LEMMY_ANSIBLE, remote={"fedi_safety": True})
    assert "FEDIVERSE_SAFETY_WORKER_AUTH is not read: set PICTWARDEN_WORKER_SECRETS to NAME:SECRET" in text
    assert "stop the workers" not in text


@pytest.mark.parametrize(
    ("environment", "args", "left"),
    [
        ({"MISSING_WORKER_THRESHOLD": "0"}, {}, "SCAN_BYPASS_THRESHOLD let"),
        ({"MISSING_WORKER_THRESHOLD": "0", "SCAN_BYPASS_THRESHOLD": "0"}, {}, ""),
        ({}, {"on_unscanned": "accept"}, ""),
    ],
)
def test_letting_pictures_through_unscanned_is_a_setting(
    environment: dict[str, str], args: dict[str, Any], left: str
) -> None:
    text = told(LEMMY_ANSIBLE | environment, **args)
    assert left in text
    assert ("on_unscanned: accept" in text) == bool(left)


@pytest.mark.parametrize("ledger", [None, "memory", "/var/lib/pictwarden/ledger.db", "postgresql://anna@db/x"])
def test_a_database_is_a_setting(ledger: str | None) -> None:
    text = told(COMPOSE_SAMPLE, ledger=ledger)
    is_named = "USE_SQLITE, POSTGRES_URI, SQLALCHEMY_DATABASE_URI are not read" in text
    assert is_named != (ledger is not None and ledger.startswith("postgresql"))


def test_where_networks_are_trusted_or_an_id_is_known_no_caller_is_lost() -> None:
    assert "IPADDR" in told(LEMMY_ANSIBLE)
    assert "IPADDR" not in told(LEMMY_ANSIBLE, authentication={"trusted_networks": ["172.18.0.0/16"]})
    assert "IPADDR" not in told(LEMMY_ANSIBLE | {"KNOWN_PICTRS_IDS": f'["{LONG_ID}"]'})


@pytest.mark.parametrize(
    "environment",
    [{}, {"POSTGRES_PASSWORD": "x", "USE_SQLITE": "0", "secret_key": "x"}, dict.fromkeys(LEMMY_ANSIBLE, "")],
)
def test_without_a_variable_of_its_own_nothing_is_said(environment: dict[str, str]) -> None:
    assert notices(parse_settings({}), environment) == []


# Ids


def scans(path_secret: str, ids: str) -> bool:
    environment = {"PICTWARDEN_SECRETS": "a-secret-for-pict-rs", "KNOWN_PICTRS_IDS": ids}
    guard = Guard.from_environment(AuthenticationSettings(), environment)
    guard.require_scanner("a-secret-for-pict-rs", None, None)
    try:
        guard.require_scanner(path_secret, None, "127.0.0.1")
    except UnauthorisedError:
        return False
    return True


def test_an_id_that_nobody_guesses_is_a_secret() -> None:
    assert scans(LONG_ID, f'["__WELCOME_IN__", "{LONG_ID}"]')
    assert notices(parse_settings({}), {"KNOWN_PICTRS_IDS": f'["{LONG_ID}"]'}) == []


@pytest.mark.parametrize("written", ["an-id-with-%s", "an id, with %s", "an [id] with %s"])
def test_an_id_that_permits_scans_is_in_no_log_line(written: str) -> None:
    known = written % "a-place-of-its-own-in-this-test"
    assert redact(f"POST /scans/{known}") == f"POST /scans/{known}"
    assert known_ids({"KNOWN_PICTRS_IDS": json.dumps([known])}) == (known,)
    assert redact(f"POST /scans/{known}") == f"POST /scans/{MASK}"


@pytest.mark.parametrize("known", ["__WELCOME_IN__", "IPADDR", "", "an-id-wïth-a-lettér"])
def test_other_ids_permit_nothing_and_are_not_shown(known: str) -> None:
    ids = f'["{known}", "{LONG_ID}"]'
    assert not scans(known, ids)
    text = told({"KNOWN_PICTRS_IDS": ids})
    assert "1 of the 2 ids in KNOWN_PICTRS_IDS permit nothing here" in text
    assert LINE in text
    assert not known or known not in text.replace("ends in IPADDR", "")


@pytest.mark.parametrize("ids", ["__WELCOME_IN__", '{"an-id-that-nobody": 1}', '["an-id-that", 7]', "7", "null"])
def test_what_is_no_list_permits_nothing(ids: str) -> None:
    assert known_ids({"KNOWN_PICTRS_IDS": ids}) == ()
    assert 'write a list as in ["ID","ID"]' in told({"KNOWN_PICTRS_IDS": ids})
