"""Where to listen: what cannot be is one line with the way out, before anything has started."""

import asyncio
import errno
import socket

import pytest

from deployments.ray_environment import free_ports
from serve_app.cli.launch.listening import listening_address
from serve_app.domain import SettingsError


@pytest.fixture
def port():
    (free,) = free_ports(1)
    return free


@pytest.mark.parametrize(
    ("host", "bind", "root"),
    [
        ("127.0.0.1", "127.0.0.1:{port}", "http://127.0.0.1"),
        ("localhost", "127.0.0.1:{port}", "http://127.0.0.1"),
        ("127.0.0.2", "127.0.0.2:{port}", "http://127.0.0.2"),
        ("0.0.0.0", "0.0.0.0:{port}", "http://127.0.0.1"),
        (" 127.0.0.1 ", "127.0.0.1:{port}", "http://127.0.0.1"),
        ("::1", "[::1]:{port}", "http://[::1]"),
        ("[::1]", "[::1]:{port}", "http://[::1]"),
        ("::", "[::]:{port} v4v6", "http://[::1]"),
    ],
)
def test_an_address_or_a_name_is_a_literal_and_a_url_that_can_be_asked(port, host, bind, root):
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    address = listening_address(host, port)
    assert (address.bind, address.root_url) == (bind.format(port=port), f"{root}:{port}")


@pytest.mark.parametrize("host", ["0.0.0.0x", "no such host", "a..b", "256.1.1.1", "-", "x" * 300])
def test_what_is_no_host_is_said(port, host):
    with pytest.raises(SettingsError, match="is neither an address nor a name that resolves to one: give --host"):
        listening_address(host, port)


@pytest.mark.parametrize("host", ["", " ", None, 3])
def test_what_is_no_text_is_no_host(port, host):
    with pytest.raises(SettingsError, match="is not a host: give --host an address"):
        listening_address(host, port)


def test_an_address_of_another_machine_is_said(port):
    with pytest.raises(SettingsError, match=r"192\.0\.2\.77 is not an address of this machine: give --host"):
        listening_address("192.0.2.77", port)


@pytest.mark.parametrize("port", [0, 65536, -1, True, "14051", None])
def test_what_is_no_port_is_said(port):
    with pytest.raises(SettingsError, match="is not a port: choose a --port from 1 to 65535"):
        listening_address("127.0.0.1", port)


def test_a_taken_port_is_said_with_the_way_out():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError) as raised:
            listening_address("127.0.0.1", port)
    assert str(raised.value) == (
        f"port {port} on 127.0.0.1 is already in use: stop that process or choose another --port"
    )


def test_a_port_for_root_alone_is_said(monkeypatch):
    class Refusing(socket.socket):
        def bind(self, _):
            raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(SettingsError, match=r"port 80 is reserved for root: choose a --port of \d+ or more"):
        listening_address("127.0.0.1", 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::"])
def test_a_listener_takes_connections_and_leaves_the_port_to_nobody_else(port, host):
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    address = listening_address(host, port)
    with address.listener():
        for to in {"127.0.0.1", "::1"} if host == "::" else {host}:
            socket.create_connection((to, port), timeout=10).close()
        # As a second service finds out that has started in the same moment.
        with pytest.raises(SettingsError, match=f"port {port} on {host} is already in use"):
            address.listener()
    address.listener().close()


async def test_an_answer_does_not_wait_for_an_acknowledgement(port):
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    with listening_address("127.0.0.1", port).listener() as listener:
        server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), sock=listener)
        async with server:
            _, client = await asyncio.open_connection(*listener.getsockname())
            connection = (await accepted).get_extra_info("socket")
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            client.close()
            (await accepted).close()
