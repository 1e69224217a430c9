"""In the place of pictrs-safety, with exactly its environment: who is let in at IPADDR, from where.

An address outside is one of another network namespace, that reaches this machine over a pair of virtual interfaces; its
requests arrive as a stranger's do whose machine is in the same network.
"""

import contextlib
import copy
import json
import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from .conftest import HOSTILE_ENVIRONMENT, ONE_PROCESS, ROOT, free_port, running

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="another network needs root, and ip"
)

# Of TEST-NET-2, which nobody has.
HERE, OUTSIDE = "198.51.100.1", "198.51.100.2"

# As the role pictrs_safety of lemmy-ansible 0.19 sets them.
LEMMY_ANSIBLE = {
    "FEDIVERSE_SAFETY_WORKER_AUTH": "Wz0nGx3kQv7bTt2",
    "FEDIVERSE_SAFETY_IMGDIR": "/tmp/images",
    "USE_SQLITE": "1",
    "secret_key": secrets.token_hex(40),
    "SCAN_BYPASS_THRESHOLD": "10",
    "MISSING_WORKER_THRESHOLD": "5",
}
# As pictrs-safety's own compose sample and the template of its .env set them, with PostgreSQL, ids and an address.
SHORT_ID, KNOWN_ID = "__WELCOME_IN__", secrets.token_hex(12)
COMPOSE_SAMPLE = {
    "FEDIVERSE_SAFETY_WORKER_AUTH": "Wz0nGx3kQv7bTt2",
    "FEDIVERSE_SAFETY_IMGDIR": "/tmp/images",
    "USE_SQLITE": "0",
    "POSTGRES_URI": "postgresql://pictrsafety:ThatSecretPGSQLPass@127.0.0.1/pictrsafety",
    "POSTGRES_PASSWORD": "ThatSecretPGSQLPass",
    "SQLALCHEMY_DATABASE_URI": "sqlite:///fedi_safety_api.db",
    "KNOWN_PICTRS_IDS": json.dumps([SHORT_ID, KNOWN_ID]),
    "KNOWN_PICTRS_IPS": json.dumps([OUTSIDE]),
    "SCAN_BYPASS_THRESHOLD": "10",
}
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("PICTWARDEN_")},
    **HOSTILE_ENVIRONMENT,
    "PYTHONPATH": str(ROOT),
    "PYTHONUNBUFFERED": "1",
}

ASK = """
import sys, urllib.request, urllib.error
request = urllib.request.Request(sys.argv[1], data=sys.stdin.buffer.read(), method="POST")
try:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
        print(response.status, response.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""


@dataclass(frozen=True)
class Outside:
    """A network namespace, from which this machine is at :data:`HERE`."""

    name: str

    def ask(self, url, body):
        """Status and answer."""
        command = ["ip", "netns", "exec", self.name, sys.executable, "-I", "-c", ASK, url]
        done = subprocess.run(command, input=body, capture_output=True, timeout=60, check=True)
        status, _, answer = done.stdout.decode().partition(" ")
        return int(status), json.loads(answer)


@pytest.fixture
def outside():
    name = f"pw{secrets.token_hex(4)}"
    inner, outer = f"{name}i", f"{name}o"

    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=30)

    with contextlib.ExitStack() as stack:
        try:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)  # the interfaces go with it
            ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespace can be made here: {error.stderr.strip()}")
        ip("address", "add", f"{HERE}/30", "dev", outer)
        ip("link", "set", outer, "up")
        ip("-n", name, "address", "add", f"{OUTSIDE}/30", "dev", inner)
        ip("-n", name, "link", "set", inner, "up")
        yield Outside(name)


@contextlib.contextmanager
def drop_in(config, folder, theirs, **args):
    """The service as a container has it: on every address, with exactly pictrs-safety's environment ``theirs``."""
    config = copy.deepcopy(config)
    config["http_options"] |= {"host": "0.0.0.0", "port": free_port()}
    config["applications"][0]["args"] |= {"decode_workers": 1, **args}
    with running(config, folder, ONE_PROCESS, env={**ENVIRONMENT, **theirs}) as service:
        yield service


@pytest.mark.parametrize("theirs", [LEMMY_ANSIBLE, COMPOSE_SAMPLE], ids=["lemmy-ansible", "compose sample"])
def test_an_address_outside_is_refused_and_the_log_has_the_way_out(fake_config, picture, outside, tmp_path, theirs):
    with drop_in(fake_config, tmp_path, theirs) as service:
        url = f"http://{HERE}:{service.port}/api/v1/scan"
        status, answer = outside.ask(f"{url}/IPADDR", picture("blue"))
        assert (status, answer["reason"]) == (401, "unauthorised")
        # No other address is trusted either: Docker's proxy would give strangers its own.
        assert httpx.post(f"{service.root}/api/v1/scan/IPADDR", content=picture("blue")).status_code == 401
        # An id is a secret, if nobody can guess it.
        known = "KNOWN_PICTRS_IDS" in theirs
        assert [outside.ask(f"{url}/{each}", picture("blue"))[0] for each in (SHORT_ID, KNOWN_ID)] == [
            401,
            200 if known else 401,
        ]
        # The secret of the URL that the log names is the way in, from everywhere.
        known_url = (tmp_path / ".pictwarden" / "url").read_text("ascii").strip()
        secret = known_url.rpartition("/")[2]
        assert outside.ask(f"{url}/{secret}", picture("blue"))[0] == 200
    log = service.text
    assert "PICTRS__MEDIA__EXTERNAL_VALIDATION=http://HOST:14051/api/v1/scan/SECRET" in log
    assert str(Path(".pictwarden") / "url") in log
    for name, value in theirs.items():
        assert (name, value) == ("USE_SQLITE", "1") or name in log
        assert len(value) < 10 or value not in log
    assert not any(each in log for each in (secret, SHORT_ID, KNOWN_ID))
    # Whatever the variables say of databases, decisions are recorded where ours are by default.
    assert (tmp_path / ".pictwarden" / "ledger.db").exists()


def test_a_network_that_an_admin_has_listed_is_let_in_and_its_gateway_is_not(fake_config, picture, outside, tmp_path):
    with drop_in(
        fake_config, tmp_path, LEMMY_ANSIBLE, authentication={"trusted_networks": ["198.51.100.0/30"]}
    ) as service:
        url = f"http://{HERE}:{service.port}/api/v1/scan/IPADDR"
        assert outside.ask(url, picture("blue"))[0] == 200
        # As whatever passes connections on inside of this machine would make it of everybody.
        assert httpx.post(url, content=picture("blue"), trust_env=False).status_code == 401
        # As Docker's proxy would make it of everybody, were the neighbour a gateway of this machine.
        gateway = ["ip", "route", "add", "203.0.113.0/24", "via", OUTSIDE]
        subprocess.run(gateway, check=True, capture_output=True, timeout=30)
        assert outside.ask(url, picture("blue"))[0] == 401
    for what in ("the first host of its network", "a gateway of this machine"):
        assert f"is {what}, which strangers may come with" in service.text
