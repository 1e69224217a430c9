"""Another server on the loopback, whose pictures pict-rs is asked to fetch: as of a federated post."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class AnotherServer:
    """Its address, its files by their paths, and how often each was fetched."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    fetched: Counter[str] = field(default_factory=Counter)

    def url_of(self, path: str, body: bytes) -> str:
        """Put a file there."""
        self.files[path] = body
        return f"{self.url}{path}"


@contextlib.contextmanager
def serving_pictures() -> Iterator[AnotherServer]:
    """On a free port, until the block ends."""
    another = AnotherServer("")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            another.fetched[self.path] += 1
            body = another.files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("content-length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        another.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield another
        finally:
            server.shutdown()
            thread.join()
