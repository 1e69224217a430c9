"""What listens in each way of running, compared with the tables of docs/security.md; secrets replaced under load."""

import asyncio
import contextlib
import os
import re
import stat
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.processes import is_alive

from .conftest import ONE_PROCESS, RAY, ROOT, environment_of_a_service, free_port, running, wait_for

pytestmark = pytest.mark.timeout(240)

PAGE = ROOT / "docs" / "security.md"
WAYS = {ONE_PROCESS: "one process", RAY: "`make run`"}
OLD, NEW = "the-old-secret-of-pict-rs", "the-new-secret-of-pict-rs"
ADMIN, OTHER_ADMIN = "the-secret-of-alice", "the-next-secret-of-alice"
STRANGERS_PATHS = (
    *("/", "/api/v1/admin/decisions", "/logs/", "/api/version", "/metrics", "/docs", "/openapi.json"),
    *("/healthz", "/readyz", "/misskey/health", "/-/routes", "/-/healthz", "/pictwarden-listener"),
)
UNIX_LISTENS = "00010000"


@pytest.fixture(scope="module", params=[ONE_PROCESS, RAY])
def way(request):
    return request.param


@pytest.fixture(scope="module")
def secret_files(way, tmp_path_factory):
    """Those of a service, which the tests change."""
    folder = tmp_path_factory.mktemp("secrets")
    texts = {"scans": OLD, "admins": f"alice:{ADMIN}", "misskey": "the-secret-of-misskey"}
    for name, text in texts.items():
        (folder / name).touch(0o600)
        (folder / name).write_text(f"{text}\n", "ascii")
    return folder


@pytest.fixture(scope="module")
def admin_port():
    return free_port()


@pytest.fixture(scope="module")
def ports(fake_config, admin_port):
    """The address and the port by which the page calls each one that is set."""
    return {
        fake_config["http_options"]["port"]: ("`http_options.host`", "14051"),
        admin_port: ("`admin.host`", "14052"),
        free_port(): ("`metrics.host`", "14053"),
    }


@pytest.fixture(scope="module")
def config(fake_config, ports):
    application = fake_config["applications"][0]
    _, admin_port, metrics_port = ports
    application["args"] |= {"decode_workers": 1, "admin": {"port": admin_port}, "metrics": {"port": metrics_port}}
    # Two, since a changed secret has to count in both.
    (ingress,) = (each for each in application["deployments"] if each["name"] == "Ingress")
    ingress |= {"num_replicas": 2, "ray_actor_options": {"num_cpus": 0.1}}
    return fake_config


@pytest.fixture(scope="module")
def service(config, way, secret_files, tmp_path_factory):
    env = environment_of_a_service(
        PICTWARDEN_SECRETS="",
        PICTWARDEN_SECRETS_FILE=str(secret_files / "scans"),
        PICTWARDEN_ADMIN_SECRETS_FILE=str(secret_files / "admins"),
        PICTWARDEN_MISSKEY_SECRETS_FILE=str(secret_files / "misskey"),
    )
    with running(config, tmp_path_factory.mktemp("service"), way, env=env) as started:
        yield started


def rows_of(heading, way):
    """The rows of a way in the table that begins with these columns."""
    lines = PAGE.read_text("utf-8").splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith(heading))
    table = lines[begin + 2 : begin + 2 + next(n for n, line in enumerate(lines[begin + 2 :]) if line[:1] != "|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [cells[1:] for cells in rows if cells[0] == WAYS[way]]


def processes_of(service):
    listed = [psutil.Process(service.process.pid), *service.processes()]
    return [each for each in listed if is_alive(each)]


# Ports


def documented_ports(way):
    """Each program, address and port that the table has, and who is answered there."""
    return {
        (program, address, port): answered
        for program, addresses, ports, answered in rows_of("| way | program | address | port |", way)
        for address in addresses.split(", ")
        for port in (["drawn, UDP"] if "UDP" in ports else ports.split(", "))
    }


def program_of(process, service, address):
    name = process.name()
    if process.pid == service.process.pid and service.way == ONE_PROCESS:
        return "the service"
    if name == "haproxy":
        return "HAProxy"
    if name.startswith("ray::ServeReplica:pictwarden:") and address == "`metrics.host`":
        return "one of the replicas"
    if name.startswith("ray::ServeReplica:pictwarden:Ingress") and address != "every":
        return "Ingress replica"
    if name.startswith("ray::ProxyActor") and address != "every":
        return "Serve's proxy"
    if name in ("ray::DashboardAgent", "ray::RuntimeEnvAgent") and address != "every":
        return "Ray's agents"
    if any(each.endswith("autoscaler/_private/monitor.py") for each in process.cmdline()):
        return "Ray's monitor"
    # Its driver, which is `make run` itself, and all that Ray starts.
    return "Ray's processes" if service.way == RAY else name


def place_of(listener, process, service, ports):
    """Program, address and port, as the page has them."""
    host, port = listener.laddr
    if host in ("::", "0.0.0.0"):
        address = "every"
    else:
        address = ports.get(port, (host,))[0] if host == "127.0.0.1" else "the machine's"
    program = program_of(process, service, address)
    if port in ports:
        return program, address, ports[port][1]
    if program == "Ingress replica":
        return program, address, "from 30000" if 30000 <= port < 30100 else str(port)
    if port in (44217, 52365):
        return program, address, str(port)
    return program, address, "drawn" if listener.status == psutil.CONN_LISTEN else "drawn, UDP"


def listening(service, ports):
    for process in processes_of(service):
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in process.net_connections("inet"):
                if each.status == psutil.CONN_LISTEN or (each.status == psutil.CONN_NONE and not each.raddr):
                    yield place_of(each, process, service, ports), each


def test_what_listens_is_what_the_page_says(service, way, ports):
    assert {place for place, _ in listening(service, ports)} <= documented_ports(way).keys()
    # HAProxy is replaced by another one whenever its configuration changes, also soon after the start.
    wait_for(lambda: not rows_without_a_listener(service, way, ports))


def rows_without_a_listener(service, way, ports):
    """The agents' second port is on the machine's address alone, and so is not on each address of the row."""
    found = {place for place, _ in listening(service, ports)}
    return [
        (program, of_row)
        for program, addresses, of_row, _ in rows_of("| way | program | address | port |", way)
        if not any(each == program and address in addresses and port in of_row for each, address, port in found)
    ]


def test_a_stranger_is_told_nothing_but_where_the_page_says_so(service, way, ports):
    answered, told = documented_ports(way), set()
    for place, listener in listening(service, ports):
        if listener.status != psutil.CONN_LISTEN or "anybody who reads" in answered[place]:
            continue
        host = "127.0.0.1" if listener.laddr.ip in ("::", "0.0.0.0") else listener.laddr.ip
        for number, path in enumerate(STRANGERS_PATHS):
            # From an address for each path: after ten wrong secrets the admin API answers an address with 429.
            transport = httpx.HTTPTransport(local_address=f"127.0.0.{2 + number}" if host == "127.0.0.1" else None)
            # gRPC, or nothing that it says to a stranger
            with contextlib.suppress(httpx.TransportError), httpx.Client(transport=transport, timeout=10) as client:
                answer = client.get(f"http://{host}:{listener.laddr.port}{path}")
                if answer.status_code not in (401, 403, 404, 405) and path not in answered[place]:
                    told.add((place, path, answer.status_code, answer.text[:200]))
    assert told == set()


# Sockets of the file system


def sockets_of(processes):
    """The path and the process of each socket that listens in the file system, or in the abstract room beside it."""
    rows = [line.split() for line in Path("/proc/net/unix").read_text("utf-8").splitlines()[1:]]
    listeners = {row[6]: row[7] for row in rows if len(row) > 7 and row[3] == UNIX_LISTENS}
    for each in processes:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{each.pid}/fd").iterdir():
                inode = str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]")
                if inode in listeners:
                    yield listeners[inode], each.name()


def test_sockets_of_the_file_system_are_where_the_page_says(service, way):
    rows = rows_of("| way | program | socket |", way)
    folders = {cells[1].strip("`"): int(cells[2], 8) for cells in rows if cells[2]}
    found = set()
    for path, _ in sockets_of(processes_of(service)):
        (folder,) = [each for each in folders if re.match(each.replace("*", "[^/]+"), path)] or [f"{path}, unknown"]
        found.add(folder)
        private = Path(*Path(path).parts[: len(Path(folder).parts) - 1])
        assert stat.S_IMODE(private.stat().st_mode) == folders[folder]
        assert private.stat().st_uid == os.geteuid()
    assert found == set(folders)


# Secrets, replaced under load


def scan_url(service, secret):
    return f"{service.root}/api/v1/scan/{secret}"


async def statuses(service, secret, body, count=16):
    """Of requests at once, on connections of their own, so that every ingress replica has some."""
    alone = {"connection": "close"}
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        posts = [client.post(scan_url(service, secret), content=body, headers=alone) for _ in range(count)]
        return {each.status_code for each in await asyncio.gather(*posts)}


async def test_a_secret_is_replaced_without_a_gap(service, secret_files, picture):
    body, file = picture("blue"), secret_files / "scans"
    secret = OLD
    answers: asyncio.Queue[int] = asyncio.Queue(1)

    async def upload(client):
        while True:
            answer = await client.post(scan_url(service, secret), content=body)
            await answers.put(answer.status_code)

    async def next_answers(count=60):
        return {await answers.get() for _ in range(count)}

    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        uploads = [asyncio.create_task(upload(client)) for _ in range(4)]
        assert await next_answers() == {200}
        assert await statuses(service, NEW, body) == {401}
        file.write_text(f"{OLD}\n{NEW}\n", "ascii")
        assert await next_answers() == {200}
        assert await statuses(service, NEW, body) == {200}
        secret = NEW  # pict-rs is given it
        # The uploads that are inside have been sent with the old one.
        assert await next_answers() == {200}
        file.write_text(f"{NEW}\n", "ascii")
        assert await next_answers() == {200}
        for each in uploads:
            each.cancel()
        await asyncio.gather(*uploads, return_exceptions=True)
    assert await statuses(service, OLD, body) == {401}
    assert await statuses(service, NEW, body) == {200}
    assert "secrets have changed, and count from now on" in service.log_text()


def test_an_admins_secret_is_replaced_too(service, secret_files, admin_port):
    def asked(secret):
        url = f"http://127.0.0.1:{admin_port}/api/v1/admin/ledger"
        return httpx.get(url, headers={"authorization": f"Bearer {secret}"}, timeout=30, trust_env=False).status_code

    assert (asked(ADMIN), asked(OTHER_ADMIN)) == (200, 401)
    (secret_files / "admins").write_text(f"alice:{OTHER_ADMIN}\n", "ascii")
    assert (asked(ADMIN), asked(OTHER_ADMIN)) == (401, 200)


def test_the_url_for_pictrs_is_that_of_the_file(service):
    folder = Path(psutil.Process(service.process.pid).cwd(), ".pictwarden")
    assert urlsplit((folder / "url").read_text("ascii").strip()).path == f"/api/v1/scan/{OLD}"
    assert not (folder / "secret").exists()  # none was drawn
