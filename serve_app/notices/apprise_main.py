"""What runs in the process that sends: Apprise, each address in a thread of its own.

Jobs come as a line of JSON through the standard input, and outcomes leave as a line each. Apprise's own log lines may
hold a topic, a room or a token: of them, only what :data:`_SAID` finds is told.
"""

from __future__ import annotations

import http
import json
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

from serve_app.notices.message import Weight

ENDS_WITHIN_S: Final = 120
"""Whatever becomes of the process that has started this one, and would kill it before."""

READY: Final = b"ready\n"
"""The first line that leaves."""

_NICENESS: Final = 10

UNKNOWN: Final = "not taken, for a reason that Apprise does not tell"

_TYPES: Final = {
    Weight.OVER: NotifyType.SUCCESS,
    Weight.NEWS: NotifyType.INFO,
    Weight.WARNING: NotifyType.WARNING,
    Weight.FAILURE: NotifyType.FAILURE,
}


def _status(found: re.Match[str]) -> str:
    code = int(found[1])
    phrase = http.HTTPStatus(code).phrase if code in set(http.HTTPStatus) else ""
    return f"the server answered {code} {phrase}".rstrip()


_SAID: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"error=([1-5]\d\d)(?:\d\d)?\b"), _status),
    (re.compile(r"\(([45]\d\d), b['\"]"), lambda found: f"the mail server answered {found[1]}"),
    (re.compile(r"CERTIFICATE_VERIFY_FAILED"), lambda _: "the server's certificate is not trusted"),
    (re.compile(r"(?i)name resolution|name or service not known|no address associated"), lambda _: "unknown host name"),
    (re.compile(r"\[Errno (\d+)\]"), lambda found: os.strerror(int(found[1])).lower()),
    (re.compile(r"(?i)timed out"), lambda _: "no answer in time"),
    (
        re.compile(r"(?i)connection (?:aborted|unexpectedly closed|reset)"),
        lambda _: "the connection was closed",
    ),
)
"""What is told of a log line, in the order in which it explains most."""


class Said(logging.Handler):
    """What Apprise has logged in each thread."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._lines: dict[int | None, list[str]] = {}

    def begin(self) -> None:
        """Forget this thread's lines, which may be those of one that has ended: the system gives its number again."""
        self._lines.pop(threading.get_ident(), None)

    def emit(self, record: logging.LogRecord) -> None:
        """See :class:`logging.Handler`."""
        self._lines.setdefault(record.thread, []).append(record.getMessage())

    def problem(self) -> str:
        """Why this thread's message was not taken, in words of ours alone."""
        lines = self._lines.get(threading.get_ident(), [])
        for pattern, words in _SAID:
            for line in lines:
                if found := pattern.search(line):
                    return words(found)
        return UNKNOWN


def send(url: str, message: Mapping[str, Any], said: Said) -> tuple[str, str | None]:
    """Send to one address: what Apprise calls its kind, and the problem, None if the message was taken."""
    said.begin()
    asset = AppriseAsset(
        app_id="Pictwarden",
        app_desc="Pictwarden",
        app_url="",
        # A notice has no picture, not even one of Apprise's, which would be fetched from elsewhere.
        image_path_mask=False,
        image_url_mask="",
        image_url_logo="",
        async_mode=False,  # in this thread, so that what is logged is known to be of it
        service_timeout=0,
        pgp_autogen=False,
        pem_autogen=False,
    )
    service = Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if service is None:
        return "", "it is not a URL that Apprise knows: see docs/notices.md for how it is written"
    apprise = Apprise(asset=asset)
    apprise.add(service)
    is_sent = apprise.notify(
        title=message["title"],
        body=message["body"],
        notify_type=_TYPES[Weight(message["weight"])],
        body_format=NotifyFormat.TEXT,
    )
    return str(service.service_name), None if is_sent else said.problem()


def _end_with_the_service() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Send what the standard input says."""
    signal.alarm(ENDS_WITHIN_S)
    os.nice(_NICENESS)
    said = Said()
    log = logging.getLogger("apprise")
    log.handlers, log.propagate = [said], False
    log.setLevel(logging.DEBUG)
    telling = threading.Lock()

    def run(job: Mapping[str, Any]) -> None:
        try:
            service, problem = send(job["url"], job["message"], said)
        except Exception:  # its text may hold the URL
            service, problem = "", "a fault of Apprise"
        with telling:
            print(json.dumps({"number": job["number"], "service": service, "problem": problem}), flush=True)  # noqa: T201

    Apprise.instantiate("json://localhost")  # the first one loads 200 modules, which takes two seconds
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    jobs = json.loads(sys.stdin.readline())
    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    os._exit(0)  # some of Apprise's libraries have threads of their own
