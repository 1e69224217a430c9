"""Sending pictures to a running service, several at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from serve_app.domain import LANE_HEADER, Lane

# The service answers within its own deadline; this only ends a wait for something that is not the service.
_CLIENT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Scan:
    """One picture and what the service said of it. ``status`` is None when there was no answer at all."""

    picture: str
    status: int | None
    verdict: str | None
    reason: str
    rule: str | None
    message: str
    scores: dict[str, float]
    margin: float | None
    elapsed_ms: float
    notice: str | None

    @property
    def is_rejected(self) -> bool:
        """Looked at, and rejected by the policy."""
        return self.verdict == "reject"

    @property
    def is_error(self) -> bool:
        """Not looked at."""
        return self.verdict is None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def pictures_in(paths: Iterable[Path]) -> list[Path]:
    """The files among ``paths`` and, sorted, all files below the folders among them; hidden ones are left out.

    Raises:
        FileNotFoundError: a path does not exist.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = (file for file in path.rglob("*") if file.is_file())
            # Only what is hidden below the folder is left out: its own path may well go through `..` or `.cache`.
            found += sorted(file for file in below if not _is_hidden(file.relative_to(path)))
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(path)
    return found


def _is_hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)


def scan_all(url: str, pictures: Iterable[Path], at_once: int, lane: Lane = Lane.LIVE) -> Iterator[Scan]:
    """The answers, as they come."""
    with (
        httpx.Client(timeout=_CLIENT_TIMEOUT_S, trust_env=not _is_loopback(url)) as client,
        ThreadPoolExecutor(at_once) as threads,
    ):
        for future in as_completed([threads.submit(scan, client, url, picture, lane) for picture in pictures]):
            yield future.result()


def _is_loopback(url: str) -> bool:
    """Whether ``url`` is on this machine, which a proxy of the environment could not reach."""
    try:
        return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        return False


def scan(client: httpx.Client, url: str, picture: Path, lane: Lane = Lane.LIVE) -> Scan:
    """Send one picture. What goes wrong on the way is an answer too, with the reason ``no_answer``."""
    started_s = time.perf_counter()
    status, fields = None, {}
    try:
        body = picture.read_bytes()
        response = client.post(
            url, content=body, headers={"Content-Type": "application/octet-stream", LANE_HEADER: lane}
        )
        status, fields = response.status_code, _fields(response)
        if "reason" not in fields:
            fields = {"reason": "no_answer", "message": f"{url.rsplit('/', 1)[0]} answered, and is not Pictwarden"}
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        fields = {"reason": "no_answer", "message": f"{type(error).__name__}: {error}"}
    return Scan(
        picture=str(picture),
        status=status,
        verdict=fields.get("verdict"),
        reason=str(fields.get("reason")),
        rule=fields.get("rule"),
        message=str(fields.get("message", "")),
        scores=fields.get("scores") or {},
        margin=fields.get("margin"),
        elapsed_ms=(time.perf_counter() - started_s) * 1e3,
        notice=fields.get("notice"),
    )


def _fields(response: httpx.Response) -> dict[str, Any]:
    """The fields of an answer; none if it is no JSON object, and so not ours."""
    try:
        fields = response.json()
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
