"""Who is answered: a secret in three places, and a private address where that is configured."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

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


TRUSTING = {"authentication": {"trust_private_addresses": True}}


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.9", "172.31.255.1", "192.168.1.4", "169.254.7.7"),
        *("::1", "fd00::5", "fe80::1%eth0", "::ffff:10.0.0.1"),
    ],
)
async def test_a_private_address_is_trusted_where_that_is_configured(
    make_service: Callable[..., Service], draw: Callable[..., bytes], address: str
) -> None:
    trusting, cautious = make_service(**TRUSTING), make_service()
    trusting.answered(await trusting.scan(draw("white"), f"{SCAN}/IPADDR", address=address), 200)
    cautious.answered(await cautious.scan(cautious.unreadable(), f"{SCAN}/IPADDR", address=address), 401)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "172.32.0.1", "192.169.0.1", "11.0.0.1", "100.64.0.1", "100.127.255.254", "100.100.100.100"),
        *("2606:4700::1", "::ffff:8.8.8.8", "::ffff:100.64.0.1", "2002:808:808::1"),
        *("garbage", "", "10.0.0.1 ", "10.0.0.999", "localhost", None),
    ],
)
async def test_another_address_is_not(make_service: Callable[..., Service], address: str | None) -> None:
    service = make_service(**TRUSTING)
    service.answered(await service.scan(service.unreadable(), f"{SCAN}/IPADDR", address=address), 401)


async def test_a_private_address_helps_only_who_asks_for_it(make_service: Callable[..., Service]) -> None:
    service = make_service(**TRUSTING)
    for path in (SCAN, f"{SCAN}/wrong", f"{SCAN}/ipaddr"):
        service.answered(await service.scan(service.unreadable(), path, address="10.0.0.1"), 401)


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
async def test_what_a_client_says_of_its_address_is_not_believed(
    make_service: Callable[..., Service], draw: Callable[..., bytes], header: str
) -> None:
    service = make_service(**TRUSTING)
    path = f"{SCAN}/IPADDR"
    service.answered(
        await service.scan(service.unreadable(), path, address="8.8.8.8", headers={header: "10.0.0.1"}), 401
    )
    service.answered(await service.scan(draw("white"), path, address="10.0.0.1", headers={header: "8.8.8.8"}), 200)
