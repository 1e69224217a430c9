"""No secret stands in a line, in whatever form a failure brings it there."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import aiohttp
import httpx
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from serve_app.logs import EventLogger, redaction
from serve_app.logs.formats import formatter_for
from serve_app.logs.log_format import LogFormat
from serve_app.logs.redaction import MASK, SHORTEST, hide_secrets, hide_secrets_in, hide_secrets_of, redact

ROOT = Path(__file__).parents[3]

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=SHORTEST, max_size=40).filter(
    lambda text: len(text.strip()) >= SHORTEST and MASK[0] not in text
)

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in a path": lambda secret: quote(secret, safe=""),
    "in a path with fewer codes": quote,
    "in lower-case codes": lambda secret: re.sub("%..", lambda code: code[0].lower(), quote(secret, safe="")),
    "in a query": quote_plus,
    "as Python shows it": repr,
    "as Python shows its bytes": lambda secret: repr(secret.encode()),
}


def hide_only(*secrets: str) -> None:
    redaction._hidden, redaction._forms, redaction._quoted = frozenset(), (), ()
    hide_secrets(secrets)


@pytest.fixture(autouse=True)
def no_secrets() -> Iterator[None]:
    hide_only()
    yield
    hide_only()


def failures(secret: str) -> Iterator[Exception]:
    """Errors of the libraries that the service talks by, with the secret where they have one."""
    quoted = quote(secret, safe="")
    request = httpx.Request("POST", f"http://10.0.0.1/api/v1/scan/{quoted}", headers={"x-api-token": quoted})
    yield httpx.ConnectError(f"no route to {request.url}", request=request)
    yield httpx.HTTPStatusError(f"401 for url '{request.url}'", request=request, response=httpx.Response(401))
    url = URL(f"http://pict-rs:8080/internal/hashes?key={quoted}")
    headers = CIMultiDictProxy(CIMultiDict({"X-Api-Token": secret}))
    info = aiohttp.RequestInfo(url, "GET", headers, url)
    yield aiohttp.ClientResponseError(info, (), status=500, message=f"refused {secret}")
    yield aiohttp.InvalidURL(f"http://user:{quoted}@pict-rs:8080/")
    yield sqlalchemy.exc.OperationalError(
        f"connecting to postgresql://pictwarden:{quoted}@db/ledger", {"password": secret}, Exception(secret)
    )
    yield RuntimeError(f"connection to password={quoted} host=db failed: {secret!r}")
    yield RuntimeError({"authorization": "Basic " + base64.b64encode(f"pictwarden:{secret}".encode()).decode()})


def lines_of(secret: str, wanted: LogFormat, error: Exception) -> str:
    """What is written about ``error`` in every way in which lines come about."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter_for(wanted, logging.Formatter("%(levelname)s %(message)s"), "serve"))
    logger = logging.getLogger("tests.redaction")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        raise RuntimeError("while talking") from error
    except RuntimeError as failed:
        EventLogger(logger.name).exception("failed", f"it failed: {error}", why=error, all_of={secret: [repr(error)]})
        logger.exception("a library: %s", failed.__cause__)
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


@given(SECRETS, st.sampled_from(sorted(FORMS)), st.text(max_size=10), st.text(max_size=10))
def test_a_known_secret_is_in_no_line_in_any_form(secret: str, form: str, before: str, after: str) -> None:
    hide_only(secret)
    shown = FORMS[form](secret)
    line = redact(f"{before}{shown}{after}")
    assert secret not in line
    assert shown.strip("'\"b") not in line or len(shown.strip("'\"b")) < SHORTEST


@given(SECRETS, st.binary(max_size=8), st.binary(max_size=8))
def test_a_known_secret_is_in_no_line_in_base64(secret: str, before: bytes, after: bytes) -> None:
    hide_only(secret)
    redacted = redact(base64.b64encode(before + secret.encode() + after).decode())
    assert MASK in redacted
    # Of the secret, the characters at both ends may stay that hold bits of what stands beside it.
    assert len(redacted) <= len(base64.b64encode(before)) + len(base64.b64encode(after)) + len(MASK) + 4


# With a character that no line has of itself: a secret such as "timestam" stands in every one.
@given(SECRETS.map("§{}".format))
def test_no_line_about_a_failure_has_the_secret(secret: str) -> None:
    hide_only(secret)
    for wanted in LogFormat:
        for error in failures(secret):
            lines = lines_of(secret, wanted, error)
            assert lines
            for form in FORMS.values():
                shown = form(secret)
                assert shown not in lines
                assert json.dumps(shown)[1:-1] not in lines


@pytest.mark.parametrize(
    ("line", "redacted"),
    [
        ("POST http://h:14051/api/v1/scan/never-told failed", f"POST http://h:14051/api/v1/scan/{MASK} failed"),
        ("POST http://h:14051/api/v1/scan/IPADDR failed", "POST http://h:14051/api/v1/scan/IPADDR failed"),
        ("set http://h:14051/api/v1/scan/SECRET for it", "set http://h:14051/api/v1/scan/SECRET for it"),
        ("POST http://h:14051/api/v1/scan/SECRET-of-ours failed", f"POST http://h:14051/api/v1/scan/{MASK} failed"),
        ("postgresql://me:never-told@db/ledger", f"postgresql://me:{MASK}@db/ledger"),
        ("postgresql://me@db/ledger", "postgresql://me@db/ledger"),
        ("Authorization: Bearer never-told, more", f"Authorization: Bearer {MASK}, more"),
        ("{'X-Api-Token': 'never-told'}", f"{{'X-Api-Token': '{MASK}'}}"),
        ("GET /?token=never-told&page=2", f"GET /?token={MASK}&page=2"),
        ("host=db password=never-told", f"host=db password={MASK}"),
        ("rule=None kept=True ms=1.5", "rule=None kept=True ms=1.5"),
    ],
)
def test_an_unknown_secret_is_found_by_its_place(line: str, redacted: str) -> None:
    assert redact(line) == redacted


def test_the_secrets_of_the_environment_are_known_by_the_names_of_their_variables(tmp_path: Path) -> None:
    file, passwords = tmp_path / "secret", tmp_path / "pgpass"
    file.write_text("in-a-file-of-its-own\n")
    passwords.write_text("db:5432:*:me:in-a-password-file\n")
    hide_secrets_of(
        {
            "PICTWARDEN_SECRETS": "first-of-two, second-of-two",
            "PICTWARDEN_ADMIN_SECRETS": "alice:the-one-of-alice",
            "PICTWARDEN_PICTRS_API_KEY": "key-of-pict-rs",
            "PGPASSWORD": "of-the-database",
            "RAY_AUTH_TOKEN": "of-the-cluster",
            "FEDIVERSE_SAFETY_WORKER_AUTH": "of-the-workers",
            "KNOWN_PICTRS_IDS": '["id-of-a-pict-rs", "id-of-another"]',
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x,x-key=of-the-collector",
            "PICTWARDEN_MISSKEY_SECRETS_FILE": str(file),
            "PGPASSFILE": str(passwords),
            "PICTWARDEN_TOKEN_FILE": str(tmp_path / "missing"),
            "PATH": "/usr/bin:/usr/local/bin",
            "RAY_AUTH_MODE": "token-mode",
        }
    )
    told = (
        "first-of-two second-of-two the-one-of-alice key-of-pict-rs of-the-database of-the-cluster of-the-workers "
        "id-of-a-pict-rs id-of-another of-the-collector in-a-file-of-its-own in-a-password-file"
    )
    assert set(redact(told).split()) == {MASK}
    assert redact("alice /usr/bin token-mode") == "alice /usr/bin token-mode"


def test_the_tokens_of_an_address_are_secrets_and_its_host_and_words_are_none() -> None:
    hide_secrets_in("tgram://123456789:ABCdefGHI/-10012345 https://ntfy.example.org/pictwarden?auth=of%2Fthe%2Ftopic")
    assert redact("POST https://api.telegram.org/bot123456789:ABCdefGHI/x") == (
        f"POST https://api.telegram.org/bot{MASK}:{MASK}/x"
    )
    assert redact("pictwarden sends to ntfy.example.org: of/the/topic") == (
        f"pictwarden sends to ntfy.example.org: {MASK}"
    )


def documented_addresses() -> Iterator[str]:
    """The URLs for notices of ``docs/notices.md``."""
    for scheme in ("matrixs", "ntfys", "ntfy", "mailtos", "jsons", "json"):
        yield from re.findall(rf"`({scheme}://[^`]+)`", (ROOT / "docs" / "notices.md").read_text("utf-8"))


@pytest.mark.parametrize("address", sorted(set(documented_addresses())))
def test_a_documented_address_hides_its_token_and_no_host(address: str) -> None:
    hosts = re.findall(r"[a-z]+\.example\.org|example\.org", address)
    for placeholder in ("ACCESS_TOKEN", "TOKEN", "PASSWORD"):
        address = re.sub(rf"\b{placeholder}\b", "syt_bWU.QWxsIG9mIGl0", address)
    hide_secrets_in(address)
    assert redact(" ".join(["example.org", *hosts])) == " ".join(["example.org", *hosts])
    assert redact("of syt_bWU.QWxsIG9mIGl0") == ("of " + MASK if "syt_" in address else "of syt_bWU.QWxsIG9mIGl0")


def test_an_admins_secret_may_look_like_an_address() -> None:
    hide_secrets_in("alice:never://told, bob:never-told")
    assert redact("never://told never-told") == f"{MASK} {MASK}"


def test_a_short_word_is_no_secret_to_be_found_everywhere() -> None:
    hide_secrets(["", "ledger"])
    assert redact("the ledger cannot be reached") == "the ledger cannot be reached"


def test_a_secret_that_is_the_beginning_of_another_one_hides_nothing_less() -> None:
    hide_secrets(["abcdefgh"])
    hide_secrets(["abcdefghijkl"])
    assert redact("abcdefghijkl abcdefgh") == f"{MASK} {MASK}"
