"""What a front says while no worker is there."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from serve_app.cli.launch.awaiting_workers import how_to_connect, log_how_to_connect, worker_address
from serve_app.cli.launch.listening import ListeningAddress
from serve_app.domain import OnUnscanned, SettingsError
from serve_app.remote.absence import what_happens
from serve_app.settings import RemoteSettings

ADDRESS = ListeningAddress("0.0.0.0", 14054)
COMMAND = "pictwarden worker --url http://127.0.0.1:14054 --secret-file"


def test_a_front_without_a_worker_says_what_that_means_and_how_one_is_started() -> None:
    refusing = how_to_connect(ADDRESS, Path("/srv/.pictwarden/worker-secret"), what_happens("none", OnUnscanned.REJECT))
    assert "until one is, all pictures are refused." in refusing
    assert f"{COMMAND} /srv/.pictwarden/worker-secret\n" in refusing
    accepting = how_to_connect(ADDRESS, None, what_happens("none", OnUnscanned.ACCEPT))
    assert "pictures are stored unscanned, and scanned once a worker is back" in accepting
    assert "the secret that PICTWARDEN_WORKER_SECRETS or PICTWARDEN_WORKER_SECRETS_FILE has" in accepting
    assert f"{COMMAND} FILE\n" in accepting


def test_the_log_has_it_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_how_to_connect(ADDRESS, None, "all pictures are refused")
    (line,) = caplog.messages
    assert line.startswith("no worker is connected yet")
    assert line.endswith(f"start one with: {COMMAND} FILE")


def test_a_port_that_is_taken_is_refused_by_the_key_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        remote = RemoteSettings(port=taken.getsockname()[1])
        with pytest.raises(SettingsError, match=r"workers cannot connect at remote\.host and remote\.port.*in use"):
            worker_address(remote)
