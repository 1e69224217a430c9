"""The configurations of examples/reverse-proxy, before a real service: what passes, when, and what their logs have."""

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import websockets.sync.client
import websockets.sync.server

from serve_app.wire import WORKER_PATH

from .conftest import ONE_PROCESS, ROOT, SECRET, free_port, is_free, padded, wait_for

EXAMPLES = ROOT / "examples" / "reverse-proxy"
MB = 1_000_000
SCAN = "/api/v1/scan"

# Around the example, which is a file for a folder of nginx: everything of a system's nginx that a test may not use.
NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/pictwarden.conf;
}}
"""


@dataclass(frozen=True)
class Proxy:
    port: int
    folder: Path
    certificate: Path

    @property
    def url(self):
        return f"https://localhost:{self.port}"

    @contextlib.contextmanager
    def client(self):
        context = ssl.create_default_context(cafile=str(self.certificate))
        # A proxy may close a connection whose body was refused before its end, also where it has not said so.
        once = {"Connection": "close"}
        with httpx.Client(base_url=self.url, verify=context, timeout=30, trust_env=False, headers=once) as client:
            yield client

    def written(self):
        """Everything that it has written, and how it was started."""
        files = [each for each in self.folder.rglob("*") if each.is_file()]
        return {each.name: each.read_text("utf-8", errors="replace") for each in files}


@pytest.fixture(scope="module")
def way():
    return ONE_PROCESS


@pytest.fixture(scope="module")
def config(fake_config):
    args = fake_config["applications"][0]["args"]
    args["decode_workers"] = 1
    args["authentication"] = {"trusted_networks": ["127.0.0.1"]}  # where the proxies are too
    return fake_config


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
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


def replaced(text, **patterns):
    """``text`` with each pattern, which is there once, replaced."""
    for pattern, replacement in patterns.values():
        text, count = re.subn(pattern, replacement, text)
        assert count == 1, pattern
    return text


def with_workers(text):
    """``text`` without the # of the lines for workers, as the example says."""
    before, heading, after = text.partition(
        "# Workers on other machines (docs/workers.md): remove the # of these lines.\n"
    )
    assert heading
    lines = after.splitlines(keepends=True)
    count = next(at for at, line in enumerate(lines) if not line.strip().startswith("#"))
    return before + "".join(line.replace("#", "", 1) for line in lines[:count]) + "".join(lines[count:])


def nginx(folder, certificate, port, upstream):
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    example = replaced(
        (EXAMPLES / "nginx.conf").read_text("utf-8"),
        port=(r"listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        name=(r"server_name scan\.example\.org;", "server_name localhost;"),
        certificate=(r"/etc/letsencrypt/\S+/fullchain\.pem", str(certificate / "certificate.pem")),
        key=(r"/etc/letsencrypt/\S+/privkey\.pem", str(certificate / "key.pem")),
        access=(r"/var/log/nginx/pictwarden\.log", f"{folder}/access.log"),
        errors=(r"/var/log/nginx/pictwarden-error\.log", f"{folder}/error.log"),
        upstream=(r"server 127\.0\.0\.1:14051;", f"server 127.0.0.1:{upstream};"),
    )
    (folder / "pictwarden.conf").write_text(example, "utf-8")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder), "utf-8")
    return [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx-error.log")]


def caddy(folder, certificate, port, upstream):
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("Caddy is not installed (Debian: caddy)")
    example = replaced(
        (EXAMPLES / "Caddyfile").read_text("utf-8"),
        options=(r"(?m)^\{$", "{\n\tadmin off\n\tauto_https disable_redirects"),
        name=(
            r"(?m)^scan\.example\.org \{$",
            f"https://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {certificate}/certificate.pem {certificate}/key.pem",
        ),
        access=(r"/var/log/caddy/pictwarden\.log", f"{folder}/access.log"),
        upstream=(r"127\.0\.0\.1:14051", f"127.0.0.1:{upstream}"),
    )
    (folder / "Caddyfile").write_text(example, "utf-8")
    return [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


PROXIES = {"nginx": nginx, "caddy": caddy}


CONFIGURATIONS = {"nginx": "pictwarden.conf", "caddy": "Caddyfile"}


@contextlib.contextmanager
def running_proxy(which, folder, certificate, upstream, workers=None):
    port = free_port()
    command = PROXIES[which](folder, certificate, port, upstream)
    if workers is not None:
        file = folder / CONFIGURATIONS[which]
        own = replaced(with_workers(file.read_text("utf-8")), workers=(r"127\.0\.0\.1:14054", f"127.0.0.1:{workers}"))
        file.write_text(own, "utf-8")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        wait_for(lambda: not is_free(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "output.txt").read_text("utf-8")
        yield Proxy(port, folder, certificate / "certificate.pem")
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module", params=list(PROXIES))
def which(request):
    return request.param


@pytest.fixture(scope="module")
def proxy(which, certificate, service, tmp_path_factory):
    with running_proxy(which, tmp_path_factory.mktemp(which), certificate, service.port) as started:
        yield started


def pieces(body):
    """As pict-rs sends them: without a Content-Length."""
    for begin in range(0, len(body), 8192):
        yield body[begin : begin + 8192]


@pytest.mark.parametrize(("path", "auth"), [(SCAN, ("pictwarden", SECRET)), (f"{SCAN}/{SECRET}", None)])
def test_pictures_are_scanned_through_it(proxy, picture, path, auth):
    with proxy.client() as client:
        for colour, status in (("blue", 200), ("red", 406)):
            answered = client.post(path, content=pieces(picture(colour)), auth=auth)
            assert answered.status_code == status
            assert answered.json()["message"]


def test_who_has_no_secret_is_told_so_by_the_service(proxy, picture):
    with proxy.client() as client:
        answered = client.post(SCAN, content=picture("blue"), auth=("pictwarden", "wrong"))
    assert (answered.status_code, answered.json()["reason"]) == (401, "unauthorised")


def test_nobody_is_let_in_by_the_address_of_the_proxy(proxy, service, picture):
    with httpx.Client(trust_env=False, timeout=30) as beside_it:
        address = f"http://127.0.0.1:{service.port}{SCAN}/IPADDR"
        assert beside_it.post(address, content=picture("blue")).status_code == 200
    with proxy.client() as client:
        answered = client.post(f"{SCAN}/IPADDR", content=picture("blue"))
        # nginx adds this one only since the example says so: a client cannot take it away.
        said = client.post(f"{SCAN}/IPADDR", content=picture("blue"), headers={"X-Forwarded-For": ""})
    assert [(each.status_code, each.json()["reason"]) for each in (answered, said)] == [(401, "unauthorised")] * 2


def test_as_much_passes_as_the_service_takes(proxy, picture):
    with proxy.client() as client:
        largest = padded(picture("blue"), 64 * MB)
        assert client.post(f"{SCAN}/{SECRET}", content=pieces(largest)).status_code == 200
        with contextlib.suppress(httpx.TransportError):  # the connection may be closed before all of it is sent
            # Caddy says 502 if the service has refused the body before it was sent.
            assert client.post(f"{SCAN}/{SECRET}", content=largest + b"x").status_code in {413, 502}


def test_a_body_arrives_when_it_comes_and_not_when_it_has_ended(which, certificate, tmp_path):
    context = ssl.create_default_context(cafile=str(certificate / "certificate.pem"))
    head = f"POST {SCAN}/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nthe body\r\n"
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        upstream.settimeout(30)
        port = upstream.getsockname()[1]
        proxy = stack.enter_context(running_proxy(which, tmp_path, certificate, port))
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), timeout=30))
        secured = stack.enter_context(context.wrap_socket(connection, server_hostname="localhost"))
        secured.sendall(head.encode())  # and not the end of the body
        arrived, _ = upstream.accept()
        stack.enter_context(arrived)
        arrived.settimeout(30)
        received = b""
        while b"the body" not in received:
            piece = arrived.recv(4096)
            assert piece, received
            received += piece


def test_workers_connect_through_it_where_that_is_wanted(which, certificate, tmp_path):
    context = ssl.create_default_context(cafile=str(certificate / "certificate.pem"))
    asked = []

    def echo(connection):
        asked.append((connection.request.path, connection.request.headers["authorization"]))
        for frame in connection:
            connection.send(frame)

    with contextlib.ExitStack() as stack:
        front = stack.enter_context(websockets.sync.server.serve(echo, "127.0.0.1", 0))
        threading.Thread(target=front.serve_forever, daemon=True).start()
        workers = front.socket.getsockname()[1]
        proxy = stack.enter_context(running_proxy(which, tmp_path, certificate, free_port(), workers))
        headers = {"Authorization": f"Bearer {SECRET}"}
        url = f"wss://localhost:{proxy.port}{WORKER_PATH}"
        worker = stack.enter_context(websockets.sync.client.connect(url, ssl=context, additional_headers=headers))
        frame = bytes(300_000)
        worker.send(frame)
        assert worker.recv(30) == frame
        assert asked == [(WORKER_PATH, f"Bearer {SECRET}")]
        written = proxy.written()
        assert {name for name, text in written.items() if SECRET in text} == set()


def test_it_hands_nothing_else_on(proxy):
    with proxy.client() as client:
        for path in (
            "/",
            "/healthz",
            "/readyz",
            "/docs",
            "/misskey",
            "/api/v1/admin/decisions",
            "/metrics",
            WORKER_PATH,
        ):
            answered = client.get(path)
            assert (answered.status_code, "reason" in answered.text) == (404, False)


def test_no_log_has_a_secret_whatever_fails(which, certificate, picture, tmp_path):
    nobody = free_port()
    with running_proxy(which, tmp_path, certificate, nobody) as proxy, proxy.client() as client:
        for method, path, auth in (
            ("POST", f"{SCAN}/{SECRET}", None),
            ("POST", SCAN, ("pictwarden", SECRET)),
            ("GET", f"/elsewhere/{SECRET}", None),
        ):
            status = client.request(method, path, content=picture("blue"), auth=auth).status_code
            assert status == (404 if "elsewhere" in path else 502)
        with contextlib.suppress(httpx.TransportError):  # the connection may be closed before all of it is sent
            client.post(f"{SCAN}/{SECRET}", content=bytes(66 * MB))
        wait_for(lambda: "127.0.0.1" in proxy.written().get("access.log", ""))
    texts = proxy.written()
    assert {name for name, text in texts.items() if SECRET in text} == set()
    assert "POST" in texts["access.log"]


def test_it_waits_for_longer_than_an_answer_may_take():
    # pict-rs' callers give up after 10 s, and the service answers within 9.5 s, whatever its settings are.
    texts = {name: (EXAMPLES / name).read_text("utf-8") for name in ("nginx.conf", "Caddyfile")}
    waits = {
        "nginx.conf": r"(?m)^ *(?:client_body_timeout|proxy_send_timeout|proxy_read_timeout) (\d+)s;",
        "Caddyfile": r"(?:response_header_timeout|read_timeout|write_timeout) (\d+)s",
    }
    for name, pattern in waits.items():
        found = re.findall(pattern, texts[name])
        assert len(found) == 3
        assert all(int(each) > 9.5 for each in found)
