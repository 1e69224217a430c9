"""Headless Chromium as the judge of what people see: it draws each file, and says with which pixels.

A page, served from a thread on the loopback, asks for one file after another and posts what it drew. A file that
crashes or hangs Chromium counts as not shown; Chromium is started anew for the rest.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Files = Mapping[str, Callable[[], bytes]]
"""Name of a file: what reads, or makes, its bytes."""

SIDE_PX = 48
"""Side of the square that each picture is squeezed to, as in page.html."""

MISSING = "chromium is not installed: apt-get install chromium"

_PAGE = Path(__file__).with_name("page.html")

_HANGS_AFTER_S = 30.0
"""Longer than the page itself waits for a file: by then its one thread stands still."""

_MAX_IDLE_STARTS = 3

_OPTIONS = (
    "--headless",
    "--no-sandbox",  # a container's root has no other way; the files are our own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # it asks nobody but us
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture as Chromium draws it: uint8 ``(SIDE_PX, SIDE_PX, 3)`` over each background, and its natural size."""

    width_px: int
    height_px: int
    over_white: NDArray[np.uint8]
    over_black: NDArray[np.uint8]

    @property
    def opaque(self) -> NDArray[np.bool_]:
        """Where nothing of the background is seen, ``(SIDE_PX, SIDE_PX)``."""
        return np.asarray((self.over_white == self.over_black).all(axis=2))

    @property
    def is_blank(self) -> bool:
        """Whether nothing at all is seen but the background."""
        return bool(self.over_white.min() == 255 and self.over_black.max() == 0)


def find_chromium() -> str | None:
    """Where Chromium is, if it is installed."""
    return shutil.which("chromium")


def draw_all(files: Files) -> dict[str, Drawn | None]:
    """What Chromium draws of each file; ``None`` for one that it does not show.

    Raises:
        RuntimeError: Chromium is not installed, or starts and asks for no file; the message holds its last words.
    """
    desk = _Desk(files)
    idle_starts = 0
    with _served(desk) as url:
        while not desk.is_done:
            handed_out = desk.handed_out
            last_words = _browse(url, desk)
            idle_starts = idle_starts + 1 if desk.handed_out == handed_out else 0
            if idle_starts == _MAX_IDLE_STARTS:
                raise RuntimeError(f"chromium asked for no file; its last words: {last_words}")
    return desk.drawn


class _Desk:
    """Hands out one file after another, and takes what was drawn of it."""

    def __init__(self, files: Files) -> None:
        self._names = list(files)
        self._files = files
        self.handed_out = 0
        self.drawn: dict[str, Drawn | None] = {}
        self.is_done = not files
        self.touched_s = time.monotonic()

    def next(self) -> int | None:
        self.touched_s = time.monotonic()
        if self.handed_out == len(self._names):
            # Where a crash took the answer about a file, that file is not shown.
            self.drawn = {name: self.drawn.get(name) for name in self._names}
            self.is_done = True
            return None
        self.handed_out += 1
        return self.handed_out - 1

    def read(self, index: int) -> bytes:
        return self._files[self._names[index]]()

    def take(self, index: int, answer: dict[str, object]) -> None:
        self.drawn[self._names[index]] = None if "refused" in answer else _drawn(answer)


def _drawn(answer: Mapping[str, object]) -> Drawn:
    def pixels(background: str) -> NDArray[np.uint8]:
        data = base64.b64decode(str(answer[background]))
        return np.frombuffer(data, np.uint8).reshape(SIDE_PX, SIDE_PX, 4)[:, :, :3]

    return Drawn(int(str(answer["width"])), int(str(answer["height"])), pixels("white"), pixels("black"))


@contextlib.contextmanager
def _served(desk: _Desk) -> Iterator[str]:
    """The page, the files and the desk on a free port of the loopback; gives the page's URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self._answer(_PAGE.read_bytes(), "text/html")
            elif self.path.startswith("/file/"):
                self._answer_file(int(self.path.removeprefix("/file/")))
            else:
                self.send_error(404)

        def _answer_file(self, index: int) -> None:
            try:
                body = desk.read(index)
            except Exception:
                self.send_error(500)  # whoever judges the file reads it too, and says what is wrong
            else:
                # Chromium finds out by the bytes what they are, as it does where a server does not know better.
                self._answer(body, "application/octet-stream")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if self.path == "/next":
                self._answer(json.dumps({"index": desk.next()}).encode(), "application/json")
            else:
                desk.take(int(self.path.removeprefix("/drawn/")), json.loads(body))
                self._answer(b"{}", "application/json")

        def _answer(self, body: bytes, content_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _browse(url: str, desk: _Desk) -> str:
    """Run Chromium until the desk is done, or Chromium ends or hangs. Returns the end of what it said."""
    chromium = find_chromium()
    if chromium is None:
        raise RuntimeError(MISSING)
    # Chromium's helpers may still write while they end.
    with tempfile.TemporaryDirectory(prefix="pictwarden-chromium-", ignore_cleanup_errors=True) as home:
        said = Path(home, "said")
        with said.open("wb") as output:
            process = subprocess.Popen(
                [chromium, *_OPTIONS, f"--user-data-dir={home}/profile", url],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "HOME": home, "TMPDIR": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home},
                start_new_session=True,
            )
        desk.touched_s = time.monotonic()
        try:
            while not desk.is_done and time.monotonic() - desk.touched_s < _HANGS_AFTER_S:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
                    break
        finally:
            _end(process)
        return said.read_text(errors="replace")[-2000:]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End Chromium with all of its processes, which share a group of their own."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
