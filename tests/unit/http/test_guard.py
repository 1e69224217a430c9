"""Who is answered: whoever offers the secret, in one of three places. Addresses are in ``test_neighbours.py``."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from serve_app.domain import SettingsError, UnauthorisedError
from serve_app.host.secret_files import MIN_SECRET_CHARACTERS
from serve_app.http.guard import Guard
from serve_app.settings import AuthenticationSettings

if TYPE_CHECKING:
    from tests.unit.conftest import Service

SCAN = "/api/v1/scan"


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("which", ["secret", "other_secret"])
async def test_a_secret_may_come_in_three_places(service: Service, draw: Callable[..., bytes], which: str) -> None:
    body, secret = draw("white"), getattr(service, which)
    places: list[tuple[str, dict[str, str]]] = [
        (f"{SCAN}/{secret}", {}),
        (SCAN, basic("pict-rs", secret)),
        (f"{SCAN}/my-instance", basic("", secret)),
        (SCAN, {"authorization": f"Bearer {secret}"}),
        (f"{SCAN}/my-instance", {"authorization": f"bearer {secret} "}),
    ]
    for path, headers in places:
        service.answered(await service.scan(body, path, headers=headers), 200)


async def test_user_and_password_in_the_url_are_basic(service: Service, draw: Callable[..., bytes]) -> None:
    url = f"http://pictwarden:{service.secret}@pictwarden{SCAN}/my-instance"
    service.answered(await service.scan(draw("white"), url), 200)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (SCAN, {}),
        (f"{SCAN}/wrong", {}),
        (f"{SCAN}/a-secret-of-the-test", {}),
        (f"{SCAN}/A-SECRET-OF-THE-TESTS", {}),
        (f"{SCAN}/a-secret-of-the-tests,%20its-successor-at-night", {}),
        (f"{SCAN}/geheimnis-ü-%F0%9F%94%91", {}),
        (f"{SCAN}?secret=a-secret-of-the-tests", {}),
        (SCAN, {"authorization": "Bearer wrong"}),
        (SCAN, {"authorization": "Bearer"}),
        (SCAN, {"authorization": ""}),
        (SCAN, {"authorization": "a-secret-of-the-tests"}),
        (SCAN, {"authorization": "Digest a-secret-of-the-tests"}),
        (SCAN, basic("a-secret-of-the-tests", "wrong")),
        (SCAN, {"authorization": "Basic not base64"}),
        (SCAN, {"authorization": "Basic /w=="}),
        (SCAN, {b"authorization": "Basic ü".encode()}),
        (SCAN, {b"authorization": b"Bearer \xff\xfe"}),
        (f"{SCAN}/IPADDR", {}),
    ],
)
async def test_without_a_secret_the_body_is_not_read(service: Service, path: str, headers: dict[str, str]) -> None:
    response = await service.scan(service.unreadable(), path, headers=headers)
    assert service.answered(response, 401)["reason"] == "unauthorised"
    assert response.headers["connection"] == "close"
    assert response.headers["www-authenticate"] == 'Basic realm="pictwarden"'
    assert service.ledger.recorded == []


# Secrets from the environment


def test_secrets_come_from_the_variable_that_the_settings_name() -> None:
    settings = AuthenticationSettings(secrets_env="MY_SECRETS")
    environment = {"MY_SECRETS": " first-of-the-two-secrets ,, second-of-the-two-secrets,"}
    guard = Guard.from_environment(settings, environment)
    guard.require_scanner("first-of-the-two-secrets", None, None)
    guard.require_scanner("second-of-the-two-secrets", None, None)
    with pytest.raises(UnauthorisedError):
        guard.require_scanner("", None, None)


@pytest.mark.parametrize("value", [None, "", "  ", ",", " , ,"])
def test_no_secret_is_refused_with_the_way_out(value: str | None) -> None:
    environment = {} if value is None else {"PICTWARDEN_SECRETS": value}
    with pytest.raises(SettingsError, match=r"set PICTWARDEN_SECRETS .*secrets\.token_urlsafe"):
        Guard.from_environment(AuthenticationSettings(), environment)


def test_a_short_secret_is_refused_and_not_shown() -> None:
    short, long_enough = "x" * (MIN_SECRET_CHARACTERS - 1), "y" * MIN_SECRET_CHARACTERS
    Guard.from_environment(AuthenticationSettings(), {"PICTWARDEN_SECRETS": long_enough})
    with pytest.raises(SettingsError, match=f"at least {MIN_SECRET_CHARACTERS} characters") as caught:
        Guard.from_environment(AuthenticationSettings(), {"PICTWARDEN_SECRETS": f"{long_enough},{short}"})
    assert short not in str(caught.value)
    assert long_enough not in str(caught.value)


def test_the_word_for_a_trusted_address_is_no_secret() -> None:
    assert len("IPADDR") < MIN_SECRET_CHARACTERS


def test_without_secrets_it_is_open_to_nobody() -> None:
    guard = Guard([])
    with pytest.raises(UnauthorisedError):
        guard.require_scanner("", None, "127.0.0.1")
    with pytest.raises(UnauthorisedError):
        guard.require_admin("Bearer ")


# Admins


def guard_of(admin_secrets: str) -> Guard:
    environment = {"PICTWARDEN_SECRETS": "a-secret-for-pict-rs", "PICTWARDEN_ADMIN_SECRETS": admin_secrets}
    return Guard.from_environment(AuthenticationSettings(), environment)


@pytest.mark.parametrize("value", ["", " , "])
def test_without_a_secret_there_are_no_admins(value: str) -> None:
    assert not guard_of(value).has_admins


def test_each_admin_has_a_name() -> None:
    guard = guard_of("alice:the-secret-of-alice, the-secret-of-somebody, bob:the:secret:of:bob==")
    assert guard.has_admins
    assert guard.require_admin("Bearer the-secret-of-alice") == "alice"
    assert guard.require_admin("bearer the:secret:of:bob== ") == "bob"
    assert guard.require_admin("Bearer the-secret-of-somebody") == "admin"


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        "Bearer alice:the-secret-of-alice",
        "Bearer a-secret-for-pict-rs",
        basic("alice", "the-secret-of-alice")["authorization"],
    ],
)
def test_an_admin_offers_a_bearer_token_of_their_own(authorization: str | None) -> None:
    with pytest.raises(UnauthorisedError):
        guard_of("alice:the-secret-of-alice").require_admin(authorization)


def test_an_admins_secret_permits_no_scan() -> None:
    with pytest.raises(UnauthorisedError):
        guard_of("alice:the-secret-of-alice").require_scanner("the-secret-of-alice", None, None)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("alice:short", "at least 16 characters"),
        ("Alice Smith:the-secret-of-alice", "a name in PICTWARDEN_ADMIN_SECRETS"),
        ("alice:a-secret-for-pict-rs", "also in PICTWARDEN_SECRETS"),
        ("alice:the-secret-of-älice", "printable ASCII"),
    ],
)
def test_unusable_secrets_of_admins_are_refused_and_not_shown(value: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        guard_of(value)
    assert "secret-of-alice" not in str(caught.value)


# Misskey


def misskey_guard(misskey_secrets: str, variable: str = "PICTWARDEN_MISSKEY_SECRETS") -> Guard:
    environment = {
        "PICTWARDEN_SECRETS": "a-secret-for-pict-rs",
        "PICTWARDEN_ADMIN_SECRETS": "alice:the-secret:of-alice",
        variable: misskey_secrets,
    }
    return Guard.from_environment(AuthenticationSettings(misskey_secrets_env=variable), environment)


def test_misskey_has_secrets_of_its_own() -> None:
    guard = misskey_guard("a-secret-of-misskey, its-successor-at-night", "MY_SECRETS")
    assert guard.has_misskey
    guard.require_misskey("Bearer a-secret-of-misskey")
    guard.require_misskey("bearer its-successor-at-night ")
    for other in (None, "Bearer", "Bearer wrong", "Bearer a-secret-for-pict-rs", "Bearer the-secret:of-alice"):
        with pytest.raises(UnauthorisedError):
            guard.require_misskey(other)


@pytest.mark.parametrize("value", ["", " , "])
def test_without_a_secret_misskey_is_answered_by_nobody(value: str) -> None:
    guard = misskey_guard(value)
    assert not guard.has_misskey
    with pytest.raises(UnauthorisedError):
        guard.require_misskey("Bearer ")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("fifteen-letters", "at least 16 characters"),
        ("a-secret-for-pict-rs", "also in PICTWARDEN_SECRETS"),
        ("another-one-of-misskey,the-secret:of-alice", "also in PICTWARDEN_ADMIN_SECRETS"),
    ],
)
def test_an_unusable_secret_of_misskey_is_refused_and_not_shown(value: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        misskey_guard(value)
    assert value not in str(caught.value)


def worker_guard(secrets: str) -> Guard:
    environment = {
        "PICTWARDEN_SECRETS": "the-secret-of-pict-rs",
        "PICTWARDEN_ADMIN_SECRETS": "alice:the-secret:of-alice",
        "PICTWARDEN_WORKER_SECRETS": secrets,
    }
    return Guard.from_environment(AuthenticationSettings(), environment)


def test_workers_have_secrets_of_their_own_with_the_names_of_their_owners() -> None:
    guard = worker_guard("alice:a-desktop-of-alice, a-desktop-of-nobody")
    assert guard.worker_owners == {"alice", "worker"}
    assert guard.require_worker("Bearer a-desktop-of-alice") == "alice"
    assert guard.require_worker("Bearer a-desktop-of-nobody") == "worker"
    for other in ("the-secret-of-pict-rs", "the-secret:of-alice", "alice", "", "alice:a-desktop-of-alice"):
        with pytest.raises(UnauthorisedError):
            guard.require_worker(f"Bearer {other}")
    for scope in (guard.require_admin, guard.require_misskey):
        with pytest.raises(UnauthorisedError):
            scope("Bearer a-desktop-of-alice")
    with pytest.raises(UnauthorisedError):
        guard.require_scanner("a-desktop-of-alice", "Bearer a-desktop-of-alice", None)
    assert not worker_guard("").worker_owners


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        ("bob:a-pin", "a secret in PICTWARDEN_WORKER_SECRETS"),
        ("Bob:a-desktop-of-nobody", "a name in PICTWARDEN_WORKER_SECRETS must have"),
        ("bob:the-secret-of-pict-rs", "in PICTWARDEN_WORKER_SECRETS is also in PICTWARDEN_SECRETS"),
        ("bob:the-secret:of-alice", "in PICTWARDEN_WORKER_SECRETS is also in PICTWARDEN_ADMIN_SECRETS"),
    ],
)
def test_an_unusable_secret_of_a_worker_is_refused_and_not_shown(secrets: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        worker_guard(secrets)
    assert secrets.partition(":")[2] not in str(refused.value)
