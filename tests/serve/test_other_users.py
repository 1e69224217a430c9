"""What another user of the machine can reach of a running service: nothing that controls it, and no secret."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc
import psutil
import pytest

from tests.processes import is_alive, unless_ended

from .conftest import SECRET, open_files

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="another user's eyes need root to start with")

NOBODY = 65534

# Becomes that user, once its modules are there (Python itself may be root's alone); told what to try on its standard
# input, it prints what it got hold of.
INTRUDER = """
import json, os, socket, sys
tried = json.load(sys.stdin)
os.setgroups([])
os.setgid(tried["user"])
os.setuid(tried["user"])
got = []
for path in tried["sockets"]:
    try:
        with socket.socket(socket.AF_UNIX) as intruder:
            intruder.connect("\\0" + path[1:] if path.startswith("@") else path)
        got.append(f"connected to {path}")
    except OSError:
        pass
def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
paths = list(tried["files"])
for folder in tried["folders"]:
    for root, folders, files in os.walk(folder):
        paths += [os.path.join(root, name) for name in files]
for pid in tried["pids"]:
    paths += [f"/proc/{pid}/{name}" for name in ("cmdline", "environ", "maps", "mem")]
for path in paths:
    content = read(path)
    if any(secret.encode() in content for secret in tried["secrets"]):
        got.append(f"a secret in {path}")
print(json.dumps(got))
"""

# One call of each service that does something, or tells something, at Ray's and Serve's ports.
CALLS = (
    "/ray.rpc.InternalKVGcsService/InternalKVKeys",
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.JobInfoGcsService/GetAllJobInfo",
    "/ray.rpc.ActorInfoGcsService/GetAllActorInfo",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.ReporterService/GetTraceback",
    "/ray.rpc.LogService/ListLogs",
    "/ray.serve.ASGIService/HandleRequest",
)


@pytest.fixture(scope="module")
def config(fake_config):
    return fake_config


def processes_of(service):
    """Those that last: a service starts short ones too."""
    listed = [psutil.Process(service.process.pid), *service.processes()]
    return [each for each in listed if is_alive(each)]


def token_of(service):
    return psutil.Process(service.process.pid).children()[0].environ()["RAY_AUTH_TOKEN"]


def unix_sockets(processes):
    """Of the kernel's table, by what the processes hold open; abstract ones start with @."""
    inodes = set()
    for each in processes:
        with contextlib.suppress(OSError):
            targets = [str(descriptor.readlink()) for descriptor in Path(f"/proc/{each.pid}/fd").iterdir()]
            inodes |= {target[8:-1] for target in targets if target.startswith("socket:[")}
    rows = (line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:])
    return {row[7] for row in rows if len(row) > 7 and row[6] in inodes}


@pytest.fixture
def decoys():
    """A socket and a file that are open to everybody, by which the intruder shows that it would find them."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name, socket.socket(socket.AF_UNIX) as listening:
        folder = Path(name)
        folder.chmod(0o755)
        listening.bind(str(folder / "open.sock"))
        (folder / "open.sock").chmod(0o666)
        listening.listen()
        (folder / "open.txt").write_text(SECRET, "utf-8")
        (folder / "open.txt").chmod(0o644)
        yield folder


def test_no_socket_no_file_and_no_process_of_ours_tells_or_does_anything(service, decoys):
    processes = processes_of(service)
    sockets = unix_sockets(processes)
    assert any("/h/" in path for path in sockets), "HAProxy's control socket is one of them"
    files = {opened.path for each in processes for opened in open_files(each)}
    folders = [decoys, Path(processes[0].cwd()) / ".pictwarden", service.folder, "/tmp/ray", "/dev/shm"]
    tried = {
        "user": NOBODY,
        "sockets": [*sorted(sockets), str(decoys / "open.sock")],
        "files": sorted(files),
        "folders": [str(each) for each in folders],
        "pids": [each.pid for each in processes],
        "secrets": [SECRET, token_of(service)],
    }
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", INTRUDER],
        input=json.dumps(tried),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [f"connected to {decoys}/open.sock", f"a secret in {decoys}/open.txt"]


def test_no_port_of_ours_obeys_who_has_no_token(service):
    # Which user asks makes no difference to a port: there is nothing but what is sent.
    ports = set()
    for each in processes_of(service):
        with contextlib.suppress(psutil.NoSuchProcess):
            ports |= {each.laddr.port for each in each.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    refused = 0
    for port in sorted(ports):
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            for call in CALLS:
                with pytest.raises(grpc.RpcError) as failed:
                    channel.unary_unary(call)(b"", timeout=5)
                refused += failed.value.code() == grpc.StatusCode.UNAUTHENTICATED
    # Core worker processes, raylet, GCS, agents, and each replica's own: all were found, and closed.
    assert refused >= 10


def test_a_ray_client_without_the_token_is_refused(service):
    (gcs,) = [each for each in service.processes() if unless_ended(each.name) == "gcs_server"]
    port = next(c.laddr.port for c in gcs.net_connections("tcp") if c.status == psutil.CONN_LISTEN)
    code = f"import ray; ray.init(address='127.0.0.1:{port}', log_to_driver=False); print('inside')"
    without_token = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=without_token, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode != 0
    assert "inside" not in done.stdout
    assert "token" in done.stderr.lower() or "unauthenticated" in done.stderr.lower(), done.stderr[-2000:]


def test_no_process_asks_a_cloud_about_this_machine(service):
    # Ray's dashboard does, at its start, whatever is set.
    commands = [" ".join(unless_ended(each.cmdline)) for each in service.processes()]
    assert [command for command in commands if "dashboard/dashboard.py" in command] == []
