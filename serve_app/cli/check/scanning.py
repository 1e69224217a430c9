"""Sends pictures to a running service, several at once."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import ssl
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import aiohttp

from serve_app.cli.check.patience import IMPATIENT, Patience
from serve_app.domain import Lane, UnscannedReason
from serve_app.wire import LANE_HEADER

# Only for a server that is not ours: the service answers within its own deadline.
_CLIENT_TIMEOUT_S = 30.0

# A slower connection counts as broken.
_SLOWEST_BYTES_PER_S = 10_000

_PART_BYTES = 256 * 1024

NO_ANSWER = "no_answer"
"""The reason of a scan without an answer of the service."""

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
    """One picture and the service's answer. ``status`` is None if there was no answer.

    ``request_id`` is the decision's id, and ``model`` the name and digest of the model, as the service tells them.
    ``file_bytes`` and ``modified_ns`` describe the file when it was sent; None if it could not be opened.
    """

    picture: str
    status: int | None
    verdict: str | None
    reason: str
    rule: str | None
    message: str
    scores: dict[str, float | None]
    margin: float | None
    elapsed_ms: float
    notice: str | None
    retry_after_s: float | None = None
    file_bytes: int | None = None
    modified_ns: int | None = None
    request_id: str | None = None
    model: str | None = None

    @property
    def is_accepted(self) -> bool:
        """Scanned, and accepted by the policy without a flag."""
        return self.verdict == "accept"

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
        """Not scanned, for a reason of the service's: the same picture may be sent again."""
        return self.is_error and self.reason not in _OF_THE_PICTURE

    @property
    def may_be_sent_again(self) -> bool:
        """Whether the service, or a front end, asked for another try, or nobody answered."""
        return self.status == HTTPStatus.SERVICE_UNAVAILABLE or (self.status is None and self.reason == NO_ANSWER)

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
    """The answers, as they arrive; ``pictures`` are taken only as they are sent.

    Args:
        url: of the service, with its secret.
        pictures: files.
        at_once: how many pictures are sent at once.
        lane: of the pictures.
        patience: the retries for pictures that could not be scanned for now.
        stop: once set, no further picture is sent; those on their way are still answered.
        uses_proxy: whether to use a proxy of the environment for another machine.
    """
    stop = stop or threading.Event()
    with (
        _sender(url, lane, at_once, uses_proxy and not _is_local(url)) as send,
        ThreadPoolExecutor(at_once) as threads,
    ):
        sent: set[Future[Scan]] = set()
        for picture in pictures:
            if stop.is_set():
                break
            if len(sent) >= at_once:
                answered, sent = wait(sent, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in answered)
            sent.add(threads.submit(patience.insist, partial(send, picture), stop))
        while sent:
            answered, sent = wait(sent, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in answered)


def _is_local(url: str) -> bool:
    """Whether ``url`` is on this machine, which a proxy could not reach."""
    try:
        return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        return False


@contextlib.contextmanager
def _sender(url: str, lane: Lane, at_once: int, trusts_environment: bool) -> Iterator[Callable[[Path], Scan]]:
    """A function that sends one picture, from any thread; an event loop in a thread has the connections."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="connections")
    thread.start()
    try:
        session = asyncio.run_coroutine_threadsafe(_session(at_once, trusts_environment), loop).result()
        try:
            yield lambda picture: asyncio.run_coroutine_threadsafe(_scan(session, url, picture, lane), loop).result()
        finally:
            asyncio.run_coroutine_threadsafe(session.close(), loop).result()
            asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _session(at_once: int, trusts_environment: bool) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=at_once)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=trusts_environment)


async def _scan(session: aiohttp.ClientSession, url: str, picture: Path, lane: Lane) -> Scan:
    """Send one picture. An error on the way gives an answer with :data:`NO_ANSWER` or :data:`UNREADABLE`."""
    started_s = time.perf_counter()
    status, retry_after_s, file = None, None, None
    unreadable: list[OSError] = []
    try:
        file = await asyncio.to_thread(picture.stat)
        if not stat.S_ISREG(file.st_mode):  # opening a pipe would wait for a writer
            raise OSError(errno.EINVAL, "not a file, or an unreadable folder")
        with picture.open("rb") as body:
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(file.st_size),
                LANE_HEADER: lane,
            }
            timeout = aiohttp.ClientTimeout(
                total=_CLIENT_TIMEOUT_S + file.st_size / _SLOWEST_BYTES_PER_S,
                sock_connect=_CLIENT_TIMEOUT_S,
                sock_read=_CLIENT_TIMEOUT_S,
            )
            parts = _parts(body, file.st_size, unreadable)
            async with session.post(url, data=parts, headers=headers, timeout=timeout, allow_redirects=False) as answer:
                status, retry_after_s, fields = answer.status, _retry_after_s(answer), _fields(await answer.read())
        if "reason" not in fields:
            said = f"{_without_secret(url)} answered {status} and is not Pictwarden: check the scan URL"
            fields = {"reason": NO_ANSWER, "message": said}
    except (aiohttp.ClientError, TimeoutError) as error:
        status = None  # half an answer counts as none
        fields = _unreadable(unreadable[0]) if unreadable else {"reason": NO_ANSWER, "message": _why(error, url)}
    except OSError as error:
        fields = _unreadable(error)
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
        request_id=fields.get("request_id"),
        model=fields.get("model"),
    )


async def _parts(body: BinaryIO, size_bytes: int, unreadable: list[OSError]) -> AsyncIterator[bytes]:
    """The file in parts, with the announced number of bytes; an error of reading is noted in ``unreadable``."""
    try:
        while size_bytes:
            part = await asyncio.to_thread(body.read, min(_PART_BYTES, size_bytes))
            if not part:
                raise OSError(errno.EIO, "the file became shorter while it was sent")
            size_bytes -= len(part)
            yield part
    except OSError as error:
        unreadable.append(error)
        raise


def _retry_after_s(answer: aiohttp.ClientResponse) -> float | None:
    """Seconds, if the header is a number; its other form, a date, is of another machine's clock."""
    value = answer.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() and value.isascii() else None


def _unreadable(error: OSError) -> dict[str, Any]:
    return {"reason": UNREADABLE, "message": f"cannot be read: {error.strerror or 'an error of the file system'}"}


def _why(error: Exception, url: str) -> str:
    """Why there was no answer."""
    where = _without_secret(url)
    if isinstance(error, TimeoutError):
        return f"{where} did not answer within {_CLIENT_TIMEOUT_S:.0f} s"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection to {where} ({_why_no_connection(error.os_error)}): is the service running there?"
    if isinstance(error, aiohttp.InvalidURL):
        return "wrong scan URL: its form is http://HOST:PORT/api/v1/scan/SECRET"
    return f"the connection to {where} broke before the answer: see the log of the service"


def _why_no_connection(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return error.reason.replace("_", " ").lower()
    # Numbers below zero are errors of the resolver, which have texts of their own.
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror or error)


def _without_secret(url: str) -> str:
    return url.rsplit("/", 1)[0].rsplit("@", 1)[-1]


def _fields(body: bytes) -> dict[str, Any]:
    """The fields of an answer; empty if it is no JSON object, and so not ours."""
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
