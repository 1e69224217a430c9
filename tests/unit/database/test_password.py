"""The password of PostgreSQL, as a server is sent it: from the environment, or from a file as it is at that moment."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from serve_app.database.access import Database, open_database
from serve_app.database.location import Location

# As PostgreSQL's messages have it: a kind and a length, and which authentication is wanted; then an error.
ASKS_FOR_PASSWORD = b"R" + struct.pack(">II", 8, 3)
REFUSES = b"E" + struct.pack(">I", 4 + len(b"SFATAL\0Mnot today\0\0")) + b"SFATAL\0Mnot today\0\0"


class Server:
    """Asks everyone for a password in clear text, remembers it, and refuses."""

    def __init__(self, listener: socket.socket) -> None:
        self.passwords: list[str] = []
        self._listener = listener

    @property
    def url(self) -> str:
        return f"postgresql://anna@127.0.0.1:{self._listener.getsockname()[1]}/x?sslmode=disable&gssencmode=disable"

    def run(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                with connection, connection.makefile("rb") as stream:
                    (length,) = struct.unpack(">I", stream.read(4))
                    stream.read(length - 4)
                    connection.sendall(ASKS_FOR_PASSWORD)
                    _, length = struct.unpack(">cI", stream.read(5))
                    self.passwords.append(stream.read(length - 4).rstrip(b"\0").decode())
                    connection.sendall(REFUSES)


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def try_to_connect(database: Database) -> None:
    with pytest.raises(OperationalError, match="not today"):
        database.prepare()


def test_the_password_is_that_of_the_file_at_each_connection(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.touch(0o600)
    monkeypatch.setenv("PGPASSWORD_FILE", str(file))
    database = open_database(Location(tmp_path, url=server.url))
    for password in ("the first", "the second"):
        file.write_text(password + "\n", "utf-8")
        try_to_connect(database)
    database.close()
    assert server.passwords == ["the first", "the second"]


def test_libpq_reads_its_own_variable(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "of the environment")
    database = open_database(Location(tmp_path, url=server.url))
    try_to_connect(database)
    database.close()
    assert server.passwords == ["of the environment"]
