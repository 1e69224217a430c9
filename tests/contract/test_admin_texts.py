"""Every text that the admin API takes: what no database can store is refused alike, whatever records the decisions."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest

from serve_app.database.access import open_database
from serve_app.domain import Body, Call, Decision
from serve_app.http.admin import create_admin_app
from serve_app.http.guard import Guard
from serve_app.ledger import MemoryLedger, open_ledger
from serve_app.lists.memory_store import MemoryListStore
from serve_app.lists.sql_store import SqlListStore
from serve_app.settings import parse_settings
from tests.contract.conftest import LEDGERS, fresh_location

SECRET = "the-secret-of-alice"

_FILLED = {"request_id": "r-1", "sha256": "1" * 64, "entry": "1", "bank": "ours", "worker": "anna/desktop"}
_UNSTORABLE = ("a\0b", "\0", "a\ud800b", "\udfff")


async def _scan_nothing(body: Body, call: Call, by_terms_of: str | None) -> Decision:
    raise AssertionError("nothing is scanned here")


def _app(ledger: Any, store: Any) -> Any:
    guard = Guard(["a-secret-for-pict-rs"], admin_secrets={"alice": SECRET})
    return create_admin_app(guard, ledger, store, parse_settings({}), _scan_nothing)


class Place(NamedTuple):
    """A text of a route: a part of its path, a parameter of its query, or a field of its body. "" is for its name."""

    method: str
    path: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.kind} {self.name}".rstrip()


def _places() -> Iterator[Place]:
    """Each text of each route, as the API describes itself."""
    described = _app(MemoryLedger(), MemoryListStore()).openapi()
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            for each in route.get("parameters", []):
                if each["in"] == "path":
                    yield Place(method, path, "path", each["name"])
            # One that the API does not know, and all that it does.
            queries = [each["name"] for each in route.get("parameters", []) if each["in"] == "query"]
            for name in (*queries, "", "unknown"):
                yield Place(method, path, "query", name)
            content = route.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                for field in _fields(described, content["application/json"]["schema"]):
                    yield Place(method, path, "body", field)
                yield Place(method, path, "body", "")


def _fields(described: Any, schema: Any) -> Iterator[str]:
    """The fields of a body that may be texts, as a pointer into it; of a list, those of its first item."""
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for name, field in schema.get("properties", {}).items():
        options = field.get("anyOf", [field])
        if any(each.get("type") == "string" or "$ref" in each for each in options):
            yield name
        for each in options:
            if each.get("type") == "array":
                yield from (f"{name}/0/{inner}" for inner in _fields(described, each["items"]))


PLACES = list(_places())

_BODIES: dict[str, dict[str, Any]] = {
    "/forget": {},
    "/lists/banks/{bank}": {},
    "/lists/entries": {
        "kind": "deny",
        "reason": "x",
        "fingerprints": [{"type": "sha256", "hash": "1" * 64}],
    },
    "/decisions/{request_id}/allow": {"reason": "x"},
    "/decisions/{request_id}/deny": {"reason": "x"},
    "/pictures/list": {"kind": "deny", "reason": "x", "reference": "a.png"},
    "/pictures/ban": {"reason": "x", "reference": "a.png"},
}
"""Bodies that are right but for the text that is tried."""


@pytest.fixture(params=LEDGERS)
async def http(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    with contextlib.ExitStack() as stack:
        if request.param == "memory":
            app = _app(MemoryLedger(), MemoryListStore())
        else:
            location = fresh_location(request, request.param, tmp_path)
            ledger = stack.enter_context(contextlib.closing(open_ledger(location)))
            store = stack.enter_context(contextlib.closing(SqlListStore(open_database(location))))
            app = _app(ledger, store)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {SECRET}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://pictwarden", headers=headers) as client:
            yield client


def test_every_route_with_a_body_is_tried_with_one_that_is_right() -> None:
    with_bodies = {place.path for place in PLACES if place.kind == "body"}
    assert {path.removeprefix("/api/v1/admin") for path in with_bodies} == _BODIES.keys()


async def test_what_cannot_be_stored_is_refused_wherever_it_stands(http: httpx.AsyncClient) -> None:
    wrong = []
    for place in PLACES:
        for text in _UNSTORABLE:
            answer = await _asked(http, place, text)
            # Of a URL, half of a surrogate pair is read as the sign for what cannot be read.
            is_read = place.kind != "body" and "\0" not in text and answer.status_code < 500
            if not is_read and answer.status_code not in {404, 422}:
                wrong.append(f"{place} {text!r}: {answer.status_code} {answer.text[:200]}")
    assert wrong == []


async def _asked(http: httpx.AsyncClient, place: Place, text: str) -> httpx.Response:
    # What a client can send of half a surrogate pair: its three bytes.
    octets = text.encode("utf-8", "surrogatepass")
    given = {name: quote(value) for name, value in _FILLED.items()}
    query, content = b"", None
    if place.kind == "path":
        given[place.name] = quote(octets)
    elif place.kind == "query":
        query = (f"{place.name}=" if place.name else "").encode() + quote(octets).encode()
    if place.method in {"put", "post"} and (body := _BODIES.get(place.path.removeprefix("/api/v1/admin"))) is not None:
        content = json.dumps(_with(body, place.name, text) if place.kind == "body" else body)
    # httpx would write the path anew.
    url = httpx.URL("http://pictwarden").copy_with(
        raw_path=place.path.format(**given).encode() + (b"?" + query if query else b"")
    )
    return await http.request(place.method, url, content=content, headers={"content-type": "application/json"})


def _with(body: dict[str, Any], pointer: str, text: str) -> dict[str, Any]:
    """``body`` with ``text`` where ``pointer`` says; as the name of a field where it is empty."""
    changed: dict[str, Any] = json.loads(json.dumps(body))
    if not pointer:
        return changed | {text: "x"}
    *way, last = pointer.split("/")
    at: Any = changed
    for each in way:
        at = at[int(each) if isinstance(at, list) else each]
    at[last] = text
    return changed
