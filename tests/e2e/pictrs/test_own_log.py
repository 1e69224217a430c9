"""What pict-rs writes of the secret in the URL that it is given, when nobody answers there (docs/security.md)."""

import contextlib
import os
import tempfile
from pathlib import Path

import pytest

from tests.e2e.pictrs.server import running_pictrs
from tests.e2e.pictrs.validating import MAX_RACES
from tests.serve.conftest import SECRET, drawn, free_port


def has_the_secret(file):
    with contextlib.suppress(OSError):  # pict-rs has removed it meanwhile
        return SECRET.encode() in file.read_bytes()
    return False


@pytest.mark.parametrize(
    ("url", "is_written"),
    [("http://127.0.0.1:{port}/api/v1/scan/{secret}", True), ("http://x:{secret}@127.0.0.1:{port}/api/v1/scan", False)],
)
def test_a_secret_before_the_host_is_not_written(url, is_written, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where its folder, and so its log, is
    with running_pictrs(url.format(port=free_port(), secret=SECRET), TRACING__LOGGING__TARGETS="debug") as pictrs:
        assert not pictrs.upload(drawn("blue")).is_stored
        # Unlike rglob, walk passes over folders that pict-rs removes meanwhile.
        written = [Path(folder, name) for folder, _, names in os.walk(tmp_path) for name in names]
        assert "log" in {each.name for each in written}
        assert any(map(has_the_secret, written)) == is_written


def test_a_secret_before_the_host_is_accepted(service):
    url = f"http://x:{SECRET}@127.0.0.1:{service.port}/api/v1/scan"
    with running_pictrs(url) as pictrs:
        # pict-rs now and then posts an empty or a cut body.
        assert any(pictrs.upload(drawn("blue", size=(64, 40 + number))).is_stored for number in range(MAX_RACES))
