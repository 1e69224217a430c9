"""``pictwarden ban``: denies a picture for ever, and purges it from pict-rs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from serve_app.admin_api import BANNED_BANK, BanAnswer, BanRequest, StoredPictureRecord
from serve_app.cli.admin.allowing import Expires, Reason, bank_name, expires_at, required_reason, show_listing
from serve_app.cli.admin.connection import AdminConnection, AdminError, NotFoundError
from serve_app.cli.admin.errors import told
from serve_app.cli.admin.file_fingerprints import fingerprints_of_file
from serve_app.cli.admin.list_report import made
from serve_app.cli.admin.lists import send_fingerprints
from serve_app.domain.lists import ListKind


@told
def ban(
    reason: Reason,
    file: Annotated[
        Path | None, typer.Argument(help="A file with the picture.", exists=True, dir_okay=False, show_default=False)
    ] = None,
    alias: Annotated[
        str | None, typer.Option(help="A picture that pict-rs has stored, by its alias.", show_default=False)
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="The same by the URL under which it is shown; only the alias in it is used.", show_default=False
        ),
    ] = None,
    purge: Annotated[bool, typer.Option("--purge", help="Do it. Without this option it is only shown.")] = False,
    bank: Annotated[str, typer.Option(help="The bank of the entries.")] = BANNED_BANK,
    expires: Expires = None,
) -> None:
    """Deny a picture from now on, and purge it from pict-rs with all of its aliases. A purge cannot be undone.

    The service fetches the picture from the pict-rs of its configuration (pictrs.url), scans it, and denies its bytes
    and the PDQ of the frame that decided. At most pictrs.max_purges_per_day pictures are purged in a day. Of a FILE
    that pict-rs does not have, only its fingerprints are denied.

    Exit code: 0 if it was done, or shown; 2 if not, also where the picture was denied and not purged.
    """
    if sum(each is not None for each in (file, alias, url)) != 1:
        raise typer.BadParameter("name one of a file, --alias and --url")
    reference = alias or url or _alias_of(file)
    if reference is None and file is not None:
        _ban_file(file, required_reason(reason), bank, expires, is_for_real=purge)
        return
    wanted = BanRequest(
        reference=reference or "",
        reason=required_reason(reason),
        bank=bank_name(bank) or BANNED_BANK,
        expires_at=expires_at(expires),
        purge=purge,
    )
    _show(AdminConnection().send(BanAnswer, "POST", "/pictures/ban", wanted), bank, is_for_real=purge)


def _alias_of(file: Path | None) -> str | None:
    """An alias of the stored picture with the bytes of this file, if pict-rs has it."""
    if file is None:
        return None
    with file.open("rb") as opened:
        path = f"/pictures/{hashlib.file_digest(opened, 'sha256').hexdigest()}"
        body_bytes = opened.tell()
    try:
        stored = AdminConnection().get(StoredPictureRecord, path, {"body_bytes": str(body_bytes)})
    except NotFoundError:
        return None
    return stored.aliases[0] if stored.aliases else None


def _ban_file(file: Path, reason: str, bank: str, expires: str | None, *, is_for_real: bool) -> None:
    selection = fingerprints_of_file(file, ListKind.DENY)
    typer.echo(f"pict-rs has no picture with the bytes of {file.name}: there is nothing to purge")
    if is_for_real:
        show_listing(send_fingerprints(selection, ListKind.DENY, reason, f"file {file.name}", bank, expires))
        return
    typer.echo(f"would deny, in bank {bank}: {' and '.join(each.type for each in selection.fingerprints)}")
    for line in made((), [selection.note] if selection.note else []):
        typer.echo(line)
    typer.echo("to do it, run the same command with --purge")


def _show(answer: BanAnswer, bank: str, *, is_for_real: bool) -> None:
    picture = answer.picture
    typer.echo(f"picture: sha256 {picture.sha256}, {picture.body_bytes:,} bytes")
    if not is_for_real:
        typer.echo(f"would deny, in bank {bank}: {' and '.join(answer.types)}")
        for line in made((), answer.notes):
            typer.echo(line)
        typer.echo(f"would purge: {' '.join(picture.aliases)}")
        typer.echo("to do it, run the same command with --purge")
        return
    for line in made(answer.entries, answer.notes):
        typer.echo(line)
    if answer.over_quota:
        raise AdminError(
            "denied, but not purged: today's quota of purges is used up. Run the same command tomorrow, or raise "
            "pictrs.max_purges_per_day"
        )
    typer.echo(f"purged: {' '.join(answer.purged) or 'it was gone already'}")
