"""The download path, against a stand-in for the hub on the loopback, and against no hub at all.

Each case is a process of its own: the hub's client reads its address when it is imported.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.models.conftest import MakeModel

COMMIT = "0123456789abcdef" * 2 + "01234567"

# Gives open_clip a tiny architecture, and two entries in its registry of weights; all else is as in the service.
LOAD_TINY = """
import sys
import open_clip
from serve_app.models.load import load_model
from serve_app.domain import ModelError

open_clip.add_model_config(sys.argv[1])
open_clip.pretrained._PRETRAINED["tiny-test"] = {
    "standin": {"hf_hub": "somebody/tiny/", "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.4, 0.3), "quick_gelu": True},
    "gone": {"hf_hub": "somebody/gone/"},
}
model = load_model("tiny-test/standin")
activation = type(model.network.transformer.resblocks[0].mlp[1]).__name__
print(model.identity.name, model.identity.digest, model.mean, activation)
try:
    load_model("tiny-test/gone")
except ModelError as error:
    print("ModelError", error)
"""

# The client waits 46 s in all between its tries, which tell a test nothing.
WITHOUT_WAITS = "import time; time.sleep = lambda _: None\n"
LOAD_WITHOUT_HUB = (
    WITHOUT_WAITS
    + """
from serve_app.models.load import load_model
from serve_app.domain import ModelError

try:
    load_model("ViT-B-32/laion2b_s34b_b79k")
except ModelError as error:
    print("ModelError", error)
"""
)


class Hub:
    """Enough of the hub's protocol to download the files of one repository."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer()

            def do_GET(self) -> None:
                body = self._answer()
                if body is not None:
                    self.wfile.write(body)

            def _answer(self) -> bytes | None:
                hub.asked.append(f"{self.command} {self.path}")
                prefix = "/somebody/tiny/resolve/main/"
                body = files.get(self.path.removeprefix(prefix)) if self.path.startswith(prefix) else None
                if body is None:
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound")
                    self.send_header("Content-Length", "0")
                else:
                    self.send_response(200)
                    self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
                    self.send_header("X-Repo-Commit", COMMIT)
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                return body

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def tiny(make_model: MakeModel) -> Path:
    return make_model("tiny-test", bare=True)


@pytest.fixture
def hub(tiny: Path) -> Iterator[Hub]:
    hub = Hub({"open_clip_model.safetensors": (tiny / "tiny-test.safetensors").read_bytes()})
    with hub.server as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield hub
        server.shutdown()
        thread.join()


def run(program: str, *arguments: Path, endpoint: str, home: Path) -> str:
    """What ``program`` prints on stdout, in a process that knows the hub at ``endpoint`` and an own cache."""
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(("HF_", "HUGGING"))}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
    finished = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_a_tag_is_downloaded_once_and_loaded_and_one_that_is_gone_is_said_to_be(
    hub: Hub, tiny: Path, tmp_path: Path
) -> None:
    loaded, refused = run(
        LOAD_TINY, tiny / "tiny-test.json", endpoint=hub.endpoint, home=tmp_path / "home"
    ).splitlines()
    digest = hashlib.sha256((tiny / "tiny-test.safetensors").read_bytes()).hexdigest()
    assert loaded == f"tiny-test/standin {digest} (0.1, 0.2, 0.3) QuickGELU"
    assert hub.asked.count("GET /somebody/tiny/resolve/main/open_clip_model.safetensors") == 1
    cached = tmp_path / "home/hub/models--somebody--tiny/snapshots" / COMMIT / "open_clip_model.safetensors"
    assert cached.is_file()
    assert refused.startswith("ModelError model tiny-test/gone could not be downloaded: wanted somebody/gone ")
    assert "`python -c \"import open_clip; open_clip.create_model('tiny-test', pretrained='gone')\"`" in refused
    assert "Error:" not in refused, "a name of Python's, which means nothing to an admin"


def test_without_a_hub_it_is_said_what_was_wanted_and_how_to_provide_it(tmp_path: Path) -> None:
    # Port 9 (discard) of the loopback: nobody listens there, and a refusal comes at once.
    printed = run(LOAD_WITHOUT_HUB, endpoint="http://127.0.0.1:9", home=tmp_path / "home")
    assert printed.startswith("ModelError model ViT-B-32/laion2b_s34b_b79k could not be downloaded")
    assert "laion/CLIP-ViT-B-32-laion2B-s34B-b79K" in printed
    assert "copy its cache of the hub, ~/.cache/huggingface or HF_HOME, to this machine" in printed


def test_a_cache_that_was_copied_is_enough_without_a_hub(hub: Hub, tiny: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    config = tiny / "tiny-test.json"
    loaded = run(LOAD_TINY, config, endpoint=hub.endpoint, home=there).splitlines()[0]
    shutil.copytree(there, here, symlinks=True)
    again = run(WITHOUT_WAITS + LOAD_TINY, config, endpoint="http://127.0.0.1:9", home=here).splitlines()[0]
    assert again == loaded
