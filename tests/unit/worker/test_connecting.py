"""The way of a worker to its front: TLS, proxies and names, and what its owner is told of each failure."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from serve_app.remote.frames import from_front, packed
from serve_app.remote.messages import Leaving, Wanted
from serve_app.worker.client import MAX_FRAME_BYTES
from serve_app.worker.connecting import NoFrontError, connected
from serve_app.worker.ports import ConnectionLostError
from tests.unit.worker.front import PATIENT_S, SECRET, Front, views, wanted, work
from tests.unit.worker.proxy import proxying


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    front = Front()
    async with front.listening():
        yield front


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``certificate.pem`` of ``localhost``, and its ``key.pem``."""
    folder = tmp_path_factory.mktemp("certificate")
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: no certificate can be made")
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        *("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return folder


@pytest.fixture
async def secure_front(certificate: Path) -> AsyncIterator[Front]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")
    front = Front()
    async with front.listening(tls=context):
        yield front


@pytest.fixture
def dead_port() -> Iterator[int]:
    """Where nobody listens, and nobody else can meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


async def why_not(url: str) -> Exception:
    with pytest.raises(ConnectionLostError) as caught:
        async with connected(url, SECRET):
            pass
    return caught.value


async def test_frames_go_both_ways_up_to_the_largest(front: Front) -> None:
    async with connected(front.url, SECRET) as link:
        connection = await front.connection()
        await link.send(packed(Leaving()))
        await connection.next(Leaving)
        largest = packed(work(1, views(1, 448).repeat(256, axis=0)))
        assert len(largest) < MAX_FRAME_BYTES
        await connection.socket.send_bytes(largest)
        assert await link.receive() == largest


async def test_a_larger_one_ends_the_connection(front: Front) -> None:
    async with connected(front.url, SECRET) as link:
        connection = await front.connection()
        sending = asyncio.create_task(connection.socket.send_bytes(bytes(MAX_FRAME_BYTES + 1)))
        with pytest.raises(ConnectionLostError, match="the connection broke"):
            await link.receive()
    await asyncio.gather(sending, return_exceptions=True)


async def test_so_does_a_text(front: Front) -> None:
    async with connected(front.url, SECRET) as link:
        await (await front.connection()).socket.send_str("hello")
        with pytest.raises(ConnectionLostError, match="a text"):
            await link.receive()


async def test_a_front_that_closes_is_lost_for_both_directions(front: Front) -> None:
    async with connected(front.url, SECRET) as link:
        connection = await front.connection()
        await connection.socket.close(code=1012)
        with pytest.raises(ConnectionLostError, match=r"the front closed the connection \(code 1012\)"):
            await link.receive()
        with pytest.raises(ConnectionLostError):
            await link.send(packed(Leaving()))


async def test_what_was_sent_last_arrives(front: Front) -> None:
    async with connected(front.url, SECRET) as link:
        connection = await front.connection()
        await link.send(packed(Leaving()))
    await connection.next(Leaving)
    async with asyncio.timeout(PATIENT_S):
        await connection.closed.wait()


@pytest.fixture
def trusting(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # aiohttp makes its context once, when it is imported: the environment of a worker is there by then.
    context = ssl.create_default_context(cafile=str(certificate / "certificate.pem"))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", context)


@pytest.mark.usefixtures("trusting")
async def test_a_certificate_that_is_verified_is_trusted(secure_front: Front) -> None:
    async with connected(secure_front.url, SECRET) as link:
        await (await secure_front.connection()).send(wanted())
        assert isinstance(from_front(await link.receive()), Wanted)


async def test_one_that_is_not_is_refused_with_the_way_out(secure_front: Front) -> None:
    error = await why_not(secure_front.url)
    assert isinstance(error, NoFrontError)
    assert "cannot be verified (self-signed certificate)" in str(error)
    assert "SSL_CERT_FILE" in str(error)
    assert secure_front.requests == 0, "no secret was sent"


async def test_a_port_without_tls_is_no_front(front: Front) -> None:
    error = await why_not(front.url.replace("http:", "https:"))
    assert isinstance(error, NoFrontError)
    assert "does not speak TLS there" in str(error)


async def test_nobody_there_is_for_now(dead_port: int) -> None:
    error = await why_not(f"http://127.0.0.1:{dead_port}")
    assert not isinstance(error, NoFrontError)
    assert str(error) == f"no connection to http://127.0.0.1:{dead_port} (Connection refused)"


async def test_so_is_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    error = await why_not("https://front.example")
    assert not isinstance(error, NoFrontError)
    assert "the name in https://front.example does not resolve (Name or service not known)" in str(error)


async def test_the_proxy_of_the_environment_is_taken(
    front: Front, dead_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{dead_port}")
    error = await why_not("https://front.example")
    assert str(error) == "the proxy of HTTPS_PROXY lets nobody through to https://front.example (Connection refused)"
    monkeypatch.setenv("https_proxy", front.url)
    error = await why_not("https://front.example")
    assert "the proxy of HTTPS_PROXY lets nobody through" in str(error)


@pytest.mark.usefixtures("trusting")
async def test_a_proxy_passes_a_worker_through_and_does_not_see_its_secret(
    secure_front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxying() as proxy:
        monkeypatch.setenv("https_proxy", f"http://anna:word@127.0.0.1:{proxy.port}")
        async with connected(secure_front.url, SECRET) as link:
            connection = await secure_front.connection()
            await connection.send(wanted())
            assert isinstance(from_front(await link.receive()), Wanted)
            await link.send(packed(Leaving()))
            await connection.next(Leaving)
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {secure_front.url.removeprefix('https://')} ")
    assert "Proxy-Authorization: Basic " in head
    assert SECRET not in head


async def test_a_front_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.worker.connecting.CONNECT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        error = await why_not(f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert "does not answer in time" in str(error)
