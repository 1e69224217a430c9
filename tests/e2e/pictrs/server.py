"""A real pict-rs, and what a test may ask of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks.pictrs_process import BINARY, Mode, running_process
from tests.serve.conftest import is_free

API_KEY = "a-key-of-the-tests-and-of-nothing-else"
_KEY = {"X-Api-Token": API_KEY}

_PIECE_BYTES = 50_000
_BOUNDARY = "a-boundary-of-the-tests"


@dataclass(frozen=True)
class Upload:
    """What an uploader sees: the status, the code of an error, and the alias of each stored file."""

    status: int
    code: str | None
    aliases: tuple[str, ...]

    @property
    def is_stored(self) -> bool:
        return self.status in (200, 201)


@dataclass(frozen=True)
class PictRs:
    """A running pict-rs and what a test may ask of it."""

    url: str
    http: httpx.Client
    store: Path
    """The folder of its files."""

    def upload(self, body: bytes) -> Upload:
        """Send one file as Lemmy does."""
        return _upload(self.http.post("/image", files=_form(body)))

    def upload_in_pieces(self, body: bytes) -> Upload:
        """The same without a length beforehand."""
        head = f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="images[]"; filename="a-picture"\r\n'
        pieces = [body[start : start + _PIECE_BYTES] for start in range(0, len(body), _PIECE_BYTES)]
        content = (head.encode() + b"content-type: image/png\r\n\r\n", *pieces, f"\r\n--{_BOUNDARY}--\r\n".encode())
        headers = {"content-type": f"multipart/form-data; boundary={_BOUNDARY}"}
        return _upload(self.http.post("/image", content=iter(content), headers=headers))

    def upload_in_background(self, body: bytes) -> Upload:
        """Send one file and claim it: as an uploader who does not wait for the scan."""
        return self._claimed(self.http.post("/image/backgrounded", files=_form(body)))

    def download(self, url: str) -> Upload:
        """Have a file fetched from another server and stored."""
        return _upload(self.http.get("/image/download", params={"url": url}))

    def download_in_background(self, url: str) -> Upload:
        """The same, and claim it."""
        return self._claimed(self.http.get("/image/download", params={"url": url, "backgrounded": "true"}))

    def import_(self, body: bytes, alias: str) -> Upload:
        """Store a file under an alias that is given, as migrations do."""
        return _upload(self.http.post("/internal/import", files=_form(body, alias), headers=_KEY))

    def proxied(self, url: str) -> httpx.Response:
        """The bytes of another server's file, which pict-rs stores at the first request."""
        return self.http.get("/image/original", params={"proxy": url})

    def _claimed(self, accepted: httpx.Response) -> Upload:
        assert accepted.status_code == 202, accepted.text
        (upload,) = accepted.json()["uploads"]
        while True:  # 204 says after 10 s that it is not done
            answer = self.http.get("/image/backgrounded/claim", params={"upload_id": upload["upload_id"]})
            if answer.status_code != 204:
                return _upload(answer)

    def original(self, alias: str) -> httpx.Response:
        """The stored bytes."""
        return self.http.get(f"/image/original/{alias}")

    def hashes(self) -> list[dict[str, Any]]:
        """All that is stored, newest first."""
        answer = self.http.get("/internal/hashes", params={"limit": 5000}, headers=_KEY)
        answer.raise_for_status()
        hashes: list[dict[str, Any]] = answer.json()["page"]["hashes"]
        return hashes

    def aliases_of(self, sha256: str) -> list[str]:
        """All aliases of these bytes; none where they are not stored."""
        return [alias for each in self.hashes() if each["hex"].startswith(sha256) for alias in each["aliases"]]

    def has_file(self, sha256: str) -> bool:
        """Whether a file in its store has these bytes, alias or not."""
        return any(_sha256_of(each) == sha256 for each in self.files())

    def files(self) -> list[Path]:
        """All in its store, which pict-rs may be changing."""
        return [Path(folder, name) for folder, _, names in os.walk(self.store) for name in names]


def _sha256_of(file: Path) -> str | None:
    """Of a file that pict-rs may remove meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return hashlib.sha256(file.read_bytes()).hexdigest()
    return None


def _form(body: bytes, name: str = "a-picture") -> dict[str, tuple[str, bytes, str]]:
    return {"images[]": (name, body, "image/png")}


def _upload(answer: httpx.Response) -> Upload:
    fields = answer.json()
    aliases = tuple(file["file"] for file in fields.get("files") or ())
    return Upload(answer.status_code, fields.get("code"), aliases)


@contextlib.contextmanager
def running_pictrs(
    external_validation: str | None = None, mode: Mode = Mode.DUMMY, **settings: str
) -> Iterator[PictRs]:
    """As :func:`~benchmarks.pictrs_process.running_process`; asserts that nothing of it is left."""
    # A thread may close a connection that is kept, and that another one has just begun to use: httpcore takes no lock.
    once = {"Connection": "close"}
    with (
        running_process(external_validation, mode, BINARY, SERVER__API_KEY=API_KEY, **settings) as running,
        httpx.Client(base_url=running.url, timeout=60, trust_env=False, headers=once) as http,
    ):
        yield PictRs(running.url, http, running.store)
    assert is_free(urlsplit(running.url).port)
