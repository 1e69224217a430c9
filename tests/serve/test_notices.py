"""Notices of a real service, in one process and on Ray: one message, whoever runs, and none of its secrets in a log."""

import contextlib
import copy
import http.server
import json
import queue
import threading
from datetime import UTC, datetime, timedelta

import pytest

from serve_app.database.access import open_database
from serve_app.database.location import Location
from serve_app.domain import Unscanned, UnscannedReason
from serve_app.ledger.spool import Spool
from serve_app.ledger.sql import SqlLedger
from tests.contract.conftest import Made

from .conftest import ONE_PROCESS, RAY, ended, environment_of_a_service, free_port, running, written

pytest.importorskip("apprise", reason="the extra notices is not installed")

pytestmark = pytest.mark.timeout(240)

HOOK = "a-path-that-is-a-secret"
URLS_ENV = "PICTWARDEN_NOTICE_URLS"
SENT_WITHIN_S = 120


@contextlib.contextmanager
def webhook():
    """A webhook: its URL for Apprise, and the messages that it got."""
    messages: queue.Queue[dict[str, str]] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            messages.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/{HOOK}", messages
    server.shutdown()
    server.server_close()


def where_to(url):
    """In the environment of a service, whose proxy is not for this."""
    return {URLS_ENV: url, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}


async def let_through_long_ago(file):
    """A ledger with a picture that was stored unscanned."""
    location = Location(file.parent, file)
    spool = Spool.create(location.spool_folder, location.name, reserved_bytes=100_000)
    unscanned = Unscanned(UnscannedReason.DEADLINE, "no time was left")
    with contextlib.closing(SqlLedger(open_database(location), spool, commit_wait_s=30.0)) as ledger:
        await ledger.record(Made().decision(1, unscanned, decided_at=datetime.now(UTC) - timedelta(days=3)))


@pytest.mark.parametrize("way", [ONE_PROCESS, RAY])
async def test_one_of_the_service_s_processes_tells_what_needs_a_person(way, fake_config, tmp_path):
    config = copy.deepcopy(fake_config)
    args = config["applications"][0]["args"]
    args["ledger"] = str(tmp_path / "ledger.db")
    args["rescan"] = args["hunt"] = "off"
    await let_through_long_ago(tmp_path / "ledger.db")
    with webhook() as (url, messages):
        with running(config, tmp_path, way, env=environment_of_a_service(**where_to(url))) as service:
            message = messages.get(timeout=SENT_WITHIN_S)
            log = service.text
        assert message["title"] == "Pictwarden: 1 picture waits for a scan"
        assert HOOK not in log
        assert messages.empty()


def test_that_the_service_does_not_start_is_told(fake_config, tmp_path):
    config = copy.deepcopy(fake_config)
    config["http_options"]["port"] = free_port()
    args = config["applications"][0]["args"]
    args |= {"misskey": {"classifier": "nsfwjs"}, "model": {"source": "fake", "cache_folder": str(tmp_path / "empty")}}
    with webhook() as (url, messages):
        end = ended(ONE_PROCESS, tmp_path, "--config", written(config, tmp_path), timeout_s=120, **where_to(url))
        message = messages.get(timeout=SENT_WITHIN_S)
    assert end.returncode == 1, end.stdout
    assert message["title"] == "Pictwarden: no picture can be scanned"
    assert message["message"].startswith("No picture can be scanned: the service has ended: ")
    assert HOOK not in end.stdout + end.stderr
