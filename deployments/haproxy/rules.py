"""What HAProxy does for us that Serve has no variable for: it answers itself while the ingress cannot, or is full.

It ends what nobody answers, at the deadline, and says that nobody is there, at once and in the form of every other
answer (``docs/adr/0009-a-front-end-that-is-closed-watched-and-in-time.md``).

An ingress replica takes 0.9 ms of a core to refuse a picture, of which our application has less than a tenth; HAProxy
takes 0.08 ms. Under a fivefold load there are four refusals for each picture that is looked at, so that most of what
refusing costs, goodput gets back (``docs/adr/0008-refused-before-work-is-spent.md``). Who is let in remains the ingress
replicas' decision: they say how long they are full for, and HAProxy tells them how many it turned away meanwhile.
"""

from __future__ import annotations

import json

from deployments.haproxy.config import Amendments
from serve_app.domain import UnscannedReason
from serve_app.wire import FULL_FOR_HEADER, REFUSED_HEADER, SCAN_PATH, STATUS_BY_REASON, bare_answer

# An ingress replica is full for less than a second. An end that is further away than this is one that the clock was set
# back before: HAProxy's is the wall's.
_LONGEST_FULL_MS = 30_000

# As Serve spells it (SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER); imported, it would bring Ray, which reads its
# environment then.
NO_READING_AHEAD_HEADER = "X-Request-Disconnect-Disabled"

REFUSED_BY_HAPROXY = "as many pictures are waiting already as can be looked at in time"
"""The message of such a refusal."""

UNAVAILABLE_BY_HAPROXY = "the service is starting, or what answers for it has failed; nothing was scanned"
"""The message of an answer to what no ingress replica answers."""

# Stand for what is known only when the answer is given.
_REQUEST_ID, _ELAPSED_MS = "REQUEST_ID", -1.0

# An ingress replica answers at the deadline and not before, and its answer has a way to go.
_AFTER_DEADLINE_MS = 250

# What is full of connections that it does not accept, as a process that is stopped, leaves ours unanswered.
_CONNECT_MS = 1000


def amendments(buffer_bytes: int, max_upload_s: int, deadline_s: float, retry_after_s: int) -> Amendments:
    """All that is added to Serve's configuration.

    Args:
        buffer_bytes: as for :func:`refusal_rules`.
        max_upload_s: as for :func:`refusal_rules`.
        deadline_s: of the application.
        retry_after_s: of an answer that no ingress replica gave.
    """
    answer_ms = round(deadline_s * 1000) + _AFTER_DEADLINE_MS
    unavailable = _unavailable(retry_after_s)
    return Amendments(
        defaults=(
            *(f"timeout {each} {answer_ms}ms" for each in ("client", "server", "queue")),
            f"timeout connect {_CONNECT_MS}ms",
            "retries 2",
            # Serve has HAProxy send a line about each request, path and secret included, to the syslog port of this
            # machine, on which any program may listen.
            "no log",
            # What HAProxy answers when no server does, or one breaks off, or none does so in time.
            *(f"http-error status {status} {unavailable}" for status in (502, 503, 504)),
        ),
        frontend=(
            "unique-id-format %[uuid(),regsub(-,,g)]",
            "http-request set-var(txn.pictwarden_arrived_ms) date(0,ms)",
            # After every other rule, for whoever gave the answer. None of ours has these two.
            "http-after-response set-status 503 if { status 502 504 }",
        ),
        unrouted=(
            # A sender that does not listen while it sends gets the answer too; what does not fit the buffer is cut.
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

    A body is read to its end before its refusal is sent, so that the connection can be used again and a sender that
    does not listen while it sends gets the answer too. What does not fit the buffer goes to an ingress replica.

    Args:
        buffer_bytes: ``tune.bufsize`` of HAProxy.
        max_upload_s: for reading a body that is to be refused; answered 408 after that.
    """
    # A buffer is full before it holds so many bytes of a body: it has room for headers and for its own bookkeeping.
    longest_held_bytes = buffer_bytes * 15 // 16
    return (
        f"acl pictwarden_is_scan path {SCAN_PATH}",
        f"acl pictwarden_is_scan path_beg {SCAN_PATH}/",
        "acl pictwarden_is_before_end date(0,ms),sub(proc.pictwarden_full_until_ms) lt 0",
        f"acl pictwarden_is_near_end date(0,ms),sub(proc.pictwarden_full_until_ms),add({_LONGEST_FULL_MS}) ge 0",
        f"acl pictwarden_is_held req.body_size lt {longest_held_bytes}",
        "acl pictwarden_is_refused var(txn.pictwarden_is_refused) -m bool",
        "acl pictwarden_says_full var(txn.pictwarden_full_for_ms) -m found",
        # Decided once: what is full may change between two lines.
        "http-request set-var(txn.pictwarden_is_refused) bool(true)"
        " if pictwarden_is_scan METH_POST pictwarden_is_before_end pictwarden_is_near_end pictwarden_is_held",
        f"http-request wait-for-body time {max_upload_s}s if pictwarden_is_refused",
        # A chunked body shows its length only now.
        "http-request unset-var(txn.pictwarden_is_refused) if !pictwarden_is_held",
        "http-request set-var(proc.pictwarden_refused) var(proc.pictwarden_refused,0),add(1) if pictwarden_is_refused",
        f"http-request return status {STATUS_BY_REASON[UnscannedReason.OVERLOADED]} content-type application/json"
        " hdr Retry-After %[var(proc.pictwarden_retry_after_s)] hdr X-Request-ID %[unique-id]"
        f" lf-string {_answer_format(UnscannedReason.OVERLOADED, REFUSED_BY_HAPROXY)} if pictwarden_is_refused",
        f"http-request del-header {REFUSED_HEADER}",
        f"http-request set-header {REFUSED_HEADER} %[var(proc.pictwarden_refused,0)] if pictwarden_is_scan METH_POST",
        "http-request set-var(proc.pictwarden_refused) int(0) if pictwarden_is_scan METH_POST",
        "http-request set-var(txn.pictwarden_is_ours) bool(true) if pictwarden_is_scan METH_POST",
        # Otherwise Serve reads bodies ahead of the application without a limit, to notice senders that leave; the
        # application notices them itself (serve_app/http/disconnect.py).
        f"http-request set-header {NO_READING_AHEAD_HEADER} ?1 if pictwarden_is_scan",
        f"http-response set-var(txn.pictwarden_full_for_ms) res.hdr({FULL_FOR_HEADER}),add(0)"
        " if { var(txn.pictwarden_is_ours) -m bool }",
        "http-response set-var(proc.pictwarden_retry_after_s) res.hdr(Retry-After) if pictwarden_says_full",
        "http-response set-var(proc.pictwarden_full_until_ms) date(0,ms),add(txn.pictwarden_full_for_ms)"
        " if pictwarden_says_full",
        f"http-response del-header {FULL_FOR_HEADER}",
    )


def _unavailable(retry_after_s: int) -> str:
    """The end of a line of HAProxy's that answers for nobody."""
    body = _answer_format(UnscannedReason.UNAVAILABLE, UNAVAILABLE_BY_HAPROXY)
    headers = f"hdr Retry-After {retry_after_s} hdr X-Request-ID %[unique-id]"
    return f"content-type application/json {headers} lf-string {body}"


def _answer_format(reason: UnscannedReason, message: str) -> str:
    """The body of an answer: one word of HAProxy's configuration, in its log format."""
    answer = bare_answer(reason.value, message, _REQUEST_ID, _ELAPSED_MS).model_dump_json()
    return _quoted(
        answer.replace("%", "%%")
        .replace(json.dumps(_REQUEST_ID), '"%[unique-id]"')
        .replace(json.dumps(_ELAPSED_MS), "%[date(0,ms),sub(txn.pictwarden_arrived_ms)]")
    )


def _quoted(text: str) -> str:
    """One word of HAProxy's configuration: nothing in single quotes is special."""
    if "'" in text:
        raise ValueError(f"a single quote in {text!r}")
    return f"'{text}'"
