"""HAProxy's own answers: while no ingress replica answers, and while the ingress is full.

HAProxy ends a request that nobody answers at the deadline, and answers at once if there is no ingress replica, in the
form of every other answer (``docs/adr/0009-a-front-end-that-is-closed-watched-and-in-time.md``).

It refuses a picture at a tenth of the cost of an ingress replica (``docs/adr/0008-refused-before-work-is-spent.md``).
The ingress replicas still decide: they say for how long they are full, and HAProxy tells them how many pictures it
refused meanwhile.
"""

from __future__ import annotations

import json

from deployments.haproxy.config import Amendments
from serve_app.domain import UnscannedReason
from serve_app.misskey_api import DETECT_PATH
from serve_app.wire import (
    FULL_FOR_HEADER,
    REFUSED_HEADER,
    REQUEST_ID_HEADER,
    SCAN_PATH,
    STATUS_BY_REASON,
    bare_answer,
)

# An ingress replica is full for less than a second; if the end is further away, the wall clock was set back.
_LONGEST_FULL_MS = 30_000

# Serve's SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER; an import would bring Ray, which then reads its environment.
NO_READING_AHEAD_HEADER = "X-Request-Disconnect-Disabled"

REFUSED_BY_HAPROXY = "the service is full: no more pictures can be scanned in time"
"""The message of HAProxy's refusal."""

UNAVAILABLE_BY_HAPROXY = "the service is starting or has failed: nothing was scanned"
"""The message of HAProxy's answer for a request that no ingress replica answers."""

# Placeholders for values that are known only at the time of the answer.
_REQUEST_ID, _ELAPSED_MS = "REQUEST_ID", -1.0

# An ingress replica may answer at the deadline, and its answer has a way to go.
_AFTER_DEADLINE_MS = 250

# A stopped process accepts no connection, and never refuses one.
_CONNECT_MS = 1000


def amendments(buffer_bytes: int, max_upload_s: int, deadline_s: float, retry_after_s: int) -> Amendments:
    """All that is added to Serve's configuration.

    Args:
        buffer_bytes: as for :func:`refusal_rules`.
        max_upload_s: as for :func:`refusal_rules`.
        deadline_s: of the application.
        retry_after_s: for answers of HAProxy's own.
    """
    answer_ms = round(deadline_s * 1000) + _AFTER_DEADLINE_MS
    unavailable = _unavailable(retry_after_s)
    return Amendments(
        defaults=(
            *(f"timeout {each} {answer_ms}ms" for each in ("client", "server", "queue")),
            f"timeout connect {_CONNECT_MS}ms",
            "retries 2",
            # Serve makes HAProxy send a line about each request, with the secret in its path, to this machine's syslog
            # port, on which any program may listen.
            "no log",
            # The answers where no server answers, or one breaks off (on a new connection), or none is in time.
            *(f"http-error status {status} {unavailable}" for status in (502, 503, 504)),
        ),
        frontend=(
            "unique-id-format %[uuid(),regsub(-,,g)]",
            "http-request set-var(txn.pictwarden_arrived_ms) date(0,ms)",
            # After every other rule, since none of our own answers has these two statuses.
            "http-after-response set-status 503 if { status 502 504 }",
        ),
        unrouted=(
            # The body is read first, for senders that do not listen while they send; the part beyond the buffer is cut.
            f"http-request wait-for-body time {max_upload_s}s if METH_POST",
            f"http-request return status 503 {unavailable}",
        ),
        backend=(
            "acl pictwarden_is_nobody_there nbsrv lt 1",
            f"http-request wait-for-body time {max_upload_s}s if METH_POST pictwarden_is_nobody_there",
            f"http-request return status 503 {unavailable} if pictwarden_is_nobody_there",
            *refusal_rules(buffer_bytes, max_upload_s),
        ),
    )


def refusal_rules(buffer_bytes: int, max_upload_s: int) -> tuple[str, ...]:
    """Lines for a ``backend`` section of HAProxy's configuration.

    A body is read to its end before its refusal is sent, so that the connection can be used again, and a sender that
    does not listen while it sends gets the answer too. A body beyond the buffer goes to an ingress replica.

    Args:
        buffer_bytes: ``tune.bufsize`` of HAProxy.
        max_upload_s: for reading a body that is to be refused; answered 408 after that.
    """
    # A buffer also holds headers and its own bookkeeping.
    longest_held_bytes = buffer_bytes * 15 // 16
    return (
        f"acl pictwarden_is_scan path {SCAN_PATH}",
        f"acl pictwarden_is_scan path_beg {SCAN_PATH}/",
        f"acl pictwarden_is_detection path {DETECT_PATH}",
        "acl pictwarden_is_before_end date(0,ms),sub(proc.pictwarden_full_until_ms) lt 0",
        f"acl pictwarden_is_near_end date(0,ms),sub(proc.pictwarden_full_until_ms),add({_LONGEST_FULL_MS}) ge 0",
        f"acl pictwarden_is_held req.body_size lt {longest_held_bytes}",
        "acl pictwarden_is_refused var(txn.pictwarden_is_refused) -m bool",
        "acl pictwarden_says_full var(txn.pictwarden_full_for_ms) -m found",
        # Decided once, since the time passes between two lines.
        "http-request set-var(txn.pictwarden_is_refused) bool(true)"
        " if pictwarden_is_scan METH_POST pictwarden_is_before_end pictwarden_is_near_end pictwarden_is_held",
        f"http-request wait-for-body time {max_upload_s}s if pictwarden_is_refused",
        # The length of a chunked body is known only now.
        "http-request unset-var(txn.pictwarden_is_refused) if !pictwarden_is_held",
        "http-request set-var(proc.pictwarden_refused) var(proc.pictwarden_refused,0),add(1) if pictwarden_is_refused",
        f"http-request return status {STATUS_BY_REASON[UnscannedReason.OVERLOADED]} content-type application/json"
        f" hdr Retry-After %[var(proc.pictwarden_retry_after_s)] hdr {REQUEST_ID_HEADER} %[unique-id]"
        f" lf-string {_answer_format(UnscannedReason.OVERLOADED, REFUSED_BY_HAPROXY)} if pictwarden_is_refused",
        f"http-request del-header {REFUSED_HEADER}",
        f"http-request set-header {REFUSED_HEADER} %[var(proc.pictwarden_refused,0)] if pictwarden_is_scan METH_POST",
        "http-request set-var(proc.pictwarden_refused) int(0) if pictwarden_is_scan METH_POST",
        "http-request set-var(txn.pictwarden_is_ours) bool(true) if pictwarden_is_scan METH_POST",
        # Otherwise Serve reads bodies ahead of the application without a limit, to notice senders that leave
        # (serve_app/http/disconnect.py).
        f"http-request set-header {NO_READING_AHEAD_HEADER} ?1 if pictwarden_is_scan or pictwarden_is_detection",
        f"http-response set-var(txn.pictwarden_full_for_ms) res.hdr({FULL_FOR_HEADER}),add(0)"
        " if { var(txn.pictwarden_is_ours) -m bool }",
        "http-response set-var(proc.pictwarden_retry_after_s) res.hdr(Retry-After) if pictwarden_says_full",
        "http-response set-var(proc.pictwarden_full_until_ms) date(0,ms),add(txn.pictwarden_full_for_ms)"
        " if pictwarden_says_full",
        f"http-response del-header {FULL_FOR_HEADER}",
        # Serve adds another one behind ours: its own, or the caller's as it came.
        f"http-response set-header {REQUEST_ID_HEADER} %[res.fhdr({REQUEST_ID_HEADER},1)]"
        f" if {{ res.fhdr_cnt({REQUEST_ID_HEADER}) gt 1 }}",
    )


def _unavailable(retry_after_s: int) -> str:
    """The end of a HAProxy line that answers as unavailable."""
    body = _answer_format(UnscannedReason.UNAVAILABLE, UNAVAILABLE_BY_HAPROXY)
    headers = f"hdr Retry-After {retry_after_s} hdr {REQUEST_ID_HEADER} %[unique-id]"
    return f"content-type application/json {headers} lf-string {body}"


def _answer_format(reason: UnscannedReason, message: str) -> str:
    """The body of an answer, as one word of HAProxy's configuration in its log format."""
    answer = bare_answer(reason.value, message, _REQUEST_ID, _ELAPSED_MS).model_dump_json()
    return _quoted(
        answer.replace("%", "%%")
        .replace(json.dumps(_REQUEST_ID), '"%[unique-id]"')
        .replace(json.dumps(_ELAPSED_MS), "%[date(0,ms),sub(txn.pictwarden_arrived_ms)]")
    )


def _quoted(text: str) -> str:
    """``text`` as one word of HAProxy's configuration: no character in single quotes is special."""
    if "'" in text:
        raise ValueError(f"a single quote in {text!r}")
    return f"'{text}'"
