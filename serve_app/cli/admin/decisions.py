"""``pictwarden decisions``, ``why`` and ``forget``: what the service decided, what decided it, and how to erase it."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from serve_app.admin_api import (
    DecisionRecord,
    Decisions,
    ForgetAnswer,
    ForgetRequest,
    StoredPictureRecord,
    UploadersAnswer,
)
from serve_app.cli.admin.connection import AdminConnection, AdminError, NotFoundError, path_segment
from serve_app.cli.admin.decision_report import decision_table, explanation
from serve_app.cli.admin.errors import told
from serve_app.cli.admin.uploader_report import whereabouts
from serve_app.cli.moments import WAY_OUT, moment
from serve_app.cli.progress import progress
from serve_app.domain import Verdict

_SHA256 = re.compile(r"[0-9a-f]{64}")
_DECISION = re.compile(r"[0-9a-f]{32}")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
Moment = Annotated[str | None, typer.Option(help=f"Time: {WAY_OUT}.", show_default=False)]


@told
def decisions(
    since: Moment = None,
    until: Moment = None,
    verdict: Annotated[Verdict | None, typer.Option(help="Only this verdict.", show_default=False)] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only these: policy, listed, or why unscanned.", show_default=False)
    ] = None,
    rule: Annotated[str | None, typer.Option(help="Only this rule of the policy.", show_default=False)] = None,
    source: Annotated[str | None, typer.Option(help="Only this source.", show_default=False)] = None,
    worker: Annotated[
        str | None,
        typer.Option(
            help="Only those that this worker scored: OWNER/NAME, as `pictwarden workers` shows it.", show_default=False
        ),
    ] = None,
    pending: Annotated[bool, typer.Option("--pending", help="Only pictures that are still to be scanned.")] = False,
    shadow_differs: Annotated[
        bool, typer.Option("--shadow-differs", help="Only where the policy on trial would give another verdict.")
    ] = False,
    canary: Annotated[
        bool, typer.Option("--canary", help="Only those on the canary, which are not listed otherwise.")
    ] = False,
    done: Annotated[
        str | None,
        typer.Option(
            help='Only those that were pending and were dealt with in this way, for instance "rescan: unscannable".',
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List decisions of a running service, the newest first."""
    given = {
        "since": moment_of(since, "--since"),
        "until": moment_of(until, "--until"),
        "verdict": verdict,
        "reason": reason,
        "rule": rule,
        "source": source,
        "worker": worker,
        "pending": "true" if pending else None,
        "shadow_differs": "true" if shadow_differs else None,
        "canary": "true" if canary else None,
        "done_how": done,
        "limit": str(limit),
    }
    params = {
        key: value.isoformat() if isinstance(value, datetime) else str(value)
        for key, value in given.items()
        if value is not None
    }
    page = AdminConnection().get(Decisions, "/decisions", params)
    if as_json:
        for each in page.decisions:
            typer.echo(each.model_dump_json())
        return
    Console().print(decision_table(page.decisions))
    if page.cursor is not None:
        typer.echo(f"There are more than these {limit}: narrow them down with --since, or raise --limit.", err=True)


@told
def why(
    picture: Annotated[
        str,
        typer.Argument(
            help="A file, a sha256, a decision's id, or an alias or URL of a picture in pict-rs.", show_default=False
        ),
    ],
    who: Annotated[
        bool, typer.Option("--who", help="Ask Lemmy who uploaded it, and which posts show it (setting lemmy.url).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say which decision a picture got, what decided it, and how often since.

    pict-rs changes a picture before it asks (it removes metadata, and may encode it again). So a file on your disk is
    found only if it is byte for byte what pict-rs sent. An alias, or the alias in a URL, is looked up in the pict-rs of
    the service's configuration; nothing else is fetched. With --who and --json, a second line has what Lemmy says.
    """
    service = AdminConnection()
    shown, newest = _decisions_on(service, picture)
    if as_json:
        others = [each for each in newest.decisions if each.id != shown.id]
        typer.echo(newest.model_copy(update={"decisions": [shown, *others]}).model_dump_json())
    else:
        Console().print(explanation(shown, newest.decisions, is_all=newest.cursor is None))
    if who:
        answer = service.get(UploadersAnswer, f"/decisions/{path_segment(shown.id)}/uploaders")
        if as_json:
            typer.echo(answer.model_dump_json())
        else:
            Console().print(whereabouts(answer))


@told
def forget(
    sha256: Annotated[str | None, typer.Argument(help="All decisions on this body.", show_default=False)] = None,
    source: Annotated[str | None, typer.Option(help="All decisions from this source.", show_default=False)] = None,
    before: Annotated[
        str | None, typer.Option(help=f"All decisions before this time: {WAY_OUT}.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Erase decisions with their scores and fingerprints. Entries in the audit stay. This cannot be undone.

    Many decisions take minutes, because uploads go first. If the command is interrupted, the service goes on erasing.
    """
    if sum(each is not None for each in (sha256, source, before)) != 1:
        raise typer.BadParameter("name one of a sha256, --source and --before")
    if sha256 is not None and not _SHA256.fullmatch(sha256.lower()):
        raise typer.BadParameter("a sha256 has 64 characters of 0-9 and a-f", param_hint="SHA256")
    wanted = ForgetRequest(sha256=sha256 and sha256.lower(), source=source, before=moment_of(before, "--before"))
    if not yes:
        named = sha256 or (f"source {source}" if source else f"everything before {wanted.before}")
        typer.confirm(f"Erase all decisions of {named}? They cannot be restored.", abort=True)
    service = AdminConnection()
    erased = service.send(ForgetAnswer, "POST", "/forget", wanted)
    with progress(Console(stderr=True)) as show:
        while not erased.done:
            show(f"{erased.decisions:,} decisions erased")
            erased = service.get(ForgetAnswer, "/forget")
    typer.echo(f"Erased {erased.decisions} decisions and {erased.label_scores} records of scores.")


def moment_of(text: str | None, option: str) -> datetime | None:
    """The time that ``option`` names; None without it."""
    try:
        return moment(text) if text is not None else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _decisions_on(service: AdminConnection, picture: str) -> tuple[DecisionRecord, Decisions]:
    """The decision that ``picture`` names, or else the newest one on it; and the newest ones on the same bytes.

    Raises:
        NotFoundError: there is none.
    """
    file = Path(picture)
    if file.is_file():
        with file.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        newest = _of_body(service, sha256, f"the file {picture}")
    elif _SHA256.fullmatch(picture.lower()):
        newest = _of_body(service, picture.lower(), f"the sha256 {picture}")
    elif _DECISION.fullmatch(picture.lower()):
        decision = service.get(DecisionRecord, f"/decisions/{path_segment(picture.lower())}")
        return decision, _of_body(service, decision.sha256, picture)
    else:
        try:
            stored = service.get(StoredPictureRecord, "/pictures", {"reference": picture})
        except AdminError as error:
            named = f"{picture} is neither a file, nor a sha256, nor the id of a decision"
            raise type(error)(f"{named}; {error}") from error
        try:
            newest = _of_body(service, stored.sha256, f"the stored picture {picture}")
        except NotFoundError as error:
            return _on_beginning(service, picture, stored, error)
    return newest.decisions[0], newest


def _on_beginning(
    service: AdminConnection, picture: str, stored: StoredPictureRecord, otherwise: NotFoundError
) -> tuple[DecisionRecord, Decisions]:
    """The decision on the part of a stored picture that pict-rs sent. Raises ``otherwise`` if there is none."""
    try:
        decision = service.get(DecisionRecord, "/pictures/decision", {"reference": picture})
    except NotFoundError:
        raise otherwise from None
    typer.echo(
        f"pict-rs sent only the first {decision.body_bytes:,} of this picture's {stored.body_bytes:,} bytes.", err=True
    )
    return decision, _of_body(service, decision.sha256, picture)


def _of_body(service: AdminConnection, sha256: str, name: str) -> Decisions:
    newest = service.get(Decisions, f"/bodies/{sha256}/decisions")
    if not newest.decisions:
        raise NotFoundError(
            f"no decision is recorded on {name}: pict-rs may have sent it changed, or the retention is over. Find the "
            "decision in `pictwarden decisions` by its time, and ask for its id"
        )
    return newest
