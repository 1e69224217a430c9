"""Sending pictures to a running service, several at once."""

from __future__ import annotations

import errno
import re
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from serve_app.cli.patience import IMPATIENT, Patience
from serve_app.domain import Lane, UnscannedReason
from serve_app.wire import LANE_HEADER

# The service answers within its own deadline; this only ends a wait for something that is not the service.
_CLIENT_TIMEOUT_S = 30.0

NO_ANSWER = "no_answer"
"""The reason of a scan that the service had no part in."""

UNREADABLE = "unreadable"
"""The reason of a scan of a file that could not be read here."""

_OF_THE_PICTURE = {
    UNREADABLE,
    UnscannedReason.UNDECODABLE,
    UnscannedReason.TRUNCATED,
    UnscannedReason.UNSUPPORTED,
    UnscannedReason.TOO_LARGE,
    "empty_body",
}


@dataclass(frozen=True, slots=True)
class Scan:
    """One picture and what the service said of it. ``status`` is None when there was no answer at all.

    ``file_bytes`` and ``modified_ns`` are those of the file when it was sent; None for one that could not be opened.
    """

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
    retry_after_s: float | None = None
    file_bytes: int | None = None
    modified_ns: int | None = None

    @property
    def is_rejected(self) -> bool:
        """Scanned, and rejected by the policy."""
        return self.verdict == "reject"

    @property
    def is_error(self) -> bool:
        """Not scanned."""
        return self.verdict is None

    @property
    def is_unscanned_for_now(self) -> bool:
        """Not scanned, for a reason that lies with the service: the same picture may be sent again."""
        return self.is_error and self.reason not in _OF_THE_PICTURE

    @property
    def may_be_sent_again(self) -> bool:
        """Whether the service, or what stands in front of it, asked for that, or nobody answered."""
        return self.status == httpx.codes.SERVICE_UNAVAILABLE or (self.status is None and self.reason == NO_ANSWER)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def scan_all(
    url: str,
    pictures: Iterable[Path],
    at_once: int,
    lane: Lane = Lane.LIVE,
    patience: Patience = IMPATIENT,
    stop: threading.Event | None = None,
    uses_proxy: bool = True,
) -> Iterator[Scan]:
    """The answers, as they come; of ``pictures``, only as many are taken as are being sent.

    Args:
        url: of the service, with its secret.
        pictures: files.
        at_once: how many are sent at once.
        lane: who waits for the answers.
        patience: how often a picture is sent again that could not be scanned for now.
        stop: once set, no further picture is sent; those on their way are answered.
        uses_proxy: whether a proxy of the environment is asked for an address of another machine.
    """
    stop = stop or threading.Event()
    with (
        httpx.Client(timeout=_CLIENT_TIMEOUT_S, trust_env=uses_proxy and not _is_local(url)) as client,
        ThreadPoolExecutor(at_once) as threads,
    ):
        sent: set[Future[Scan]] = set()
        for picture in pictures:
            if stop.is_set():
                break
            if len(sent) >= at_once:
                answered, sent = wait(sent, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in answered)
            sent.add(threads.submit(patience.insist, partial(scan, client, url, picture, lane), stop))
        while sent:
            answered, sent = wait(sent, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in answered)


def _is_local(url: str) -> bool:
    """Whether ``url`` is on this machine, which a proxy of the environment could not reach."""
    try:
        return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        return False


def scan(client: httpx.Client, url: str, picture: Path, lane: Lane = Lane.LIVE) -> Scan:
    """Send one picture. What goes wrong on the way is an answer too, with :data:`NO_ANSWER` or :data:`UNREADABLE`."""
    started_s = time.perf_counter()
    status, retry_after_s, file = None, None, None
    try:
        file = picture.stat()
        if not stat.S_ISREG(file.st_mode):  # opening a pipe would wait for somebody to write
            raise OSError(errno.EINVAL, "not a file, or a folder that may not be read")
        with picture.open("rb") as body:
            # The file itself and not its bytes: the client sends it in parts.
            headers = {"Content-Type": "application/octet-stream", LANE_HEADER: lane}
            response = client.post(url, content=body, headers=headers)
        status, retry_after_s, fields = response.status_code, _retry_after_s(response), _fields(response)
        if "reason" not in fields:
            said = f"{_without_secret(url)} answered {status}, and is not Pictwarden"
            fields = {"reason": NO_ANSWER, "message": said}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        fields = {"reason": NO_ANSWER, "message": _why_no_answer(error, url)}
    except OSError as error:
        fields = {"reason": UNREADABLE, "message": f"cannot be read: {error.strerror or 'an error of the file system'}"}
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
        retry_after_s=retry_after_s,
        file_bytes=file.st_size if file else None,
        modified_ns=file.st_mtime_ns if file else None,
    )


def _retry_after_s(response: httpx.Response) -> float | None:
    """Seconds, if the header is there and is a number: the other form, a date, is of another machine's clock."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() and value.isascii() else None


def _why_no_answer(error: httpx.HTTPError | httpx.InvalidURL, url: str) -> str:
    where = _without_secret(url)
    if isinstance(error, httpx.TimeoutException):
        return f"{where} did not answer within {_CLIENT_TIMEOUT_S:.0f} s"
    if isinstance(error, httpx.ConnectError):
        why = re.sub(r"^\[Errno -?\d+\] ", "", str(error))
        return f"no connection to {where} ({why}): is the service running there?"
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
        return "the scan URL is not of the form http://HOST:PORT/api/v1/scan/SECRET"
    return f"the connection to {where} broke before the answer"


def _without_secret(url: str) -> str:
    return url.rsplit("/", 1)[0].rsplit("@", 1)[-1]


def _fields(response: httpx.Response) -> dict[str, Any]:
    """The fields of an answer; none if it is no JSON object, and so not ours."""
    try:
        fields = response.json()
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
