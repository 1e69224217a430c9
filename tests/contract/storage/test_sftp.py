"""What only SFTP does: logins, host keys, and a connection that breaks or stalls: OpenSSH's server behind a relay."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import asyncssh
import pytest

from serve_app.domain import FileGoneError, StorageRefusedError, StorageUnavailableError
from serve_app.storage.scan.source import Wanted
from serve_app.storage.scan.stores.addresses import Server
from serve_app.storage.scan.stores.sftp import SftpSource
from tests.contract.storage.places import listed, named
from tests.contract.storage.sshd import Sshd

BODY = b"a picture" * 100_000
SHA256 = hashlib.sha256(BODY).hexdigest()


@dataclass
class Relay:
    """Passes bytes on between a client and the server, or not.

    Attributes:
        most_bytes: the server's answers end, with the connection, after so many; each connection takes its own.
        flows: cleared, the server's answers wait.
        connections: how many came in.
    """

    port: int = 0
    most_bytes: list[int] = field(default_factory=list)
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, server_port: int, *ends: Any) -> None:
        """Relay one connection; :meth:`close` ends it, if nobody else does."""
        task = asyncio.create_task(self.relay(server_port, *ends))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def relay(self, server_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        left = self.most_bytes.pop(0) if self.most_bytes else None
        from_server, to_server = await asyncio.open_connection("127.0.0.1", server_port)
        sending = asyncio.create_task(_pump(reader, to_server))
        try:
            while part := await from_server.read(65_536):
                await self.flows.wait()
                writer.write(part)
                await writer.drain()
                if left is not None and (left := left - len(part)) < 0:
                    break
        except OSError:
            pass
        finally:
            sending.cancel()
            for end in (writer, to_server):
                end.transport.abort()
            await asyncio.gather(sending, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()


@pytest.fixture
async def relay(as_user: Sshd) -> AsyncIterator[Relay]:
    relay = Relay()
    relay.flows.set()
    server = await asyncio.start_server(lambda *ends: relay.start(as_user.port, *ends), "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    as_user.know(relay.port)
    yield relay
    server.close()
    await server.wait_closed()
    await relay.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(BODY)
    return tmp_path


@pytest.fixture
def waits() -> list[float]:
    """How long it waited between tries, in seconds."""
    return []


@contextlib.asynccontextmanager
async def opened(
    url: str, waits: list[float], answer_s: float = 30.0, waited: asyncio.Event | None = None
) -> AsyncIterator[SftpSource]:
    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)
        if waited is not None:
            waited.set()

    source = SftpSource(Server.of(url.removeprefix("sftp://")), PurePosixPath("kept"), answer_s, sleep)
    try:
        yield source
    finally:
        await source.close()


async def test_a_connection_that_breaks_is_made_again(
    as_user: Sshd, relay: Relay, folder: Path, waits: list[float]
) -> None:
    relay.most_bytes = [200_000, 200_000]
    async with opened(as_user.url(folder, relay.port), waits) as source:
        file = await named(source, "in/a.png")
        assert await source.read(file, len(BODY)) == BODY
    assert relay.connections == 3
    assert waits == [0.5, 1.0]


async def test_a_server_that_falls_silent_is_given_up(
    as_user: Sshd, relay: Relay, folder: Path, waits: list[float]
) -> None:
    (folder / "small.png").write_bytes(b"a")
    # The first wait between tries makes the server answer again.
    async with opened(as_user.url(folder, relay.port), waits, answer_s=1.0, waited=relay.flows) as source:
        file = await named(source, "small.png")
        relay.flows.clear()
        assert await source.read(file, 1) == b"a"
    assert waits[0] == 0.5
    assert relay.connections >= 2


async def test_a_server_that_is_not_there_is_unavailable(as_user: Sshd, folder: Path, waits: list[float]) -> None:
    async with opened(as_user.url(folder, port=1), waits) as source:
        with pytest.raises(StorageUnavailableError, match=r"127\.0\.0\.1 does not answer, or the connection broke"):
            await listed(source)
    assert waits == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("is_known", [False, True], ids=["an unknown one", "another one"])
async def test_a_host_key_has_to_be_known(
    is_known: bool, as_user: Sshd, folder: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = (as_user.home / ".ssh" / "id_ed25519.pub").read_text()
    (folder / ".ssh").mkdir()
    (folder / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{as_user.port} {other}" if is_known else "")
    monkeypatch.setenv("HOME", str(folder))
    async with opened(as_user.url(folder), waits) as source:
        with pytest.raises(StorageRefusedError, match=r"its host key is not the one of ~/\.ssh/known_hosts"):
            await listed(source)
    assert waits == []


async def test_a_login_that_is_refused_names_the_way_out(
    as_user: Sshd, folder: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".ssh").mkdir()
    (folder / ".ssh" / "known_hosts").write_text((as_user.home / ".ssh" / "known_hosts").read_text())
    monkeypatch.setenv("HOME", str(folder))
    async with opened(as_user.url(folder), waits) as source:
        with pytest.raises(StorageRefusedError, match=r"it refuses the login: add the key to ssh-agent"):
            await listed(source)
    assert waits == []


@pytest.mark.parametrize("name", ["nowhere", "in/a.png"])
async def test_a_folder_has_to_be_there(name: str, as_user: Sshd, folder: Path, waits: list[float]) -> None:
    async with opened(as_user.url(folder / name), waits) as source:
        with pytest.raises(StorageRefusedError, match="there is no such folder"):
            await listed(source)


@pytest.mark.parametrize(("how", "call"), [("remove", "remove"), ("quarantine", "rename")])
async def test_a_removal_whose_answer_was_lost_was_ours(
    how: str, call: str, as_user: Sshd, folder: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = getattr(asyncssh.SFTPClient, call)

    async def is_done_without_an_answer(self: asyncssh.SFTPClient, *paths: Any) -> None:
        await done(self, *paths)
        raise asyncssh.SFTPConnectionLost("Connection lost")

    async with opened(as_user.url(folder), waits) as source:
        file = await named(source, "in/a.png")
        monkeypatch.setattr(asyncssh.SFTPClient, call, is_done_without_an_answer)
        assert await getattr(source, how)(file, SHA256) == ("in/a.png",)
        assert waits == [0.5]
        with pytest.raises(FileGoneError):
            await getattr(source, how)(file, SHA256)


async def test_a_listing_that_is_left_ends_its_requests(as_user: Sshd, folder: Path, waits: list[float]) -> None:
    for number in range(20):
        (folder / f"folder{number}").mkdir()
        (folder / f"folder{number}" / "a.png").write_bytes(b"a")
    async with opened(as_user.url(folder), waits) as source:
        async with contextlib.aclosing(source.files(Wanted())) as parts:  # type: ignore[type-var]
            async for part in parts:
                assert part
                break
        assert len(await listed(source)) == 21
    assert getpass.getuser() in source.url
