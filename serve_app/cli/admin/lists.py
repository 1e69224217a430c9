"""``pictwarden list``: known pictures, which a list allows or denies before the policy is asked."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console

from serve_app.admin_api import (
    BankRecord,
    BankRights,
    Banks,
    Entries,
    EntryRecord,
    FingerprintListing,
    FingerprintRecord,
    ImportAnswer,
    ListingAnswer,
    PictureListing,
)
from serve_app.cli.admin.allowing import (
    Bank,
    Expires,
    Reason,
    bank_name,
    expires_at,
    list_decision,
    required_reason,
    show_listing,
)
from serve_app.cli.admin.connection import AdminConnection, AdminError, path_segment
from serve_app.cli.admin.errors import told
from serve_app.cli.admin.file_fingerprints import fingerprints_of_file
from serve_app.cli.admin.list_report import bank_table, entry_table
from serve_app.cli.progress import progress
from serve_app.domain.lists import FingerprintType, ListKind
from serve_app.lists.formats import FileFormat
from serve_app.lists.of_decisions import Selection

_HASH = re.compile(r"(?:(?P<type>[a-z0-9]+):)?(?P<digits>[0-9a-fA-F]{32,64})")
_TYPES_BY_DIGITS = {32: FingerprintType.MD5, 40: FingerprintType.SHA1}

Kind = Annotated[ListKind | None, typer.Option("--kind", help="Only these.", show_default=False)]
Entry = Annotated[int, typer.Argument(help="The number of an entry.", metavar="ENTRY", min=1, show_default=False)]


@told
def list_add(
    reason: Reason,
    picture: Annotated[
        str | None,
        typer.Argument(
            help="A file, or a hash: sha256:HEX, pdq:HEX, md5:HEX, sha1:HEX.", metavar="FILE|HASH", show_default=False
        ),
    ] = None,
    decision: Annotated[
        str | None, typer.Option(help="The picture of this decision.", metavar="ID", show_default=False)
    ] = None,
    alias: Annotated[
        str | None,
        typer.Option(help="A picture that pict-rs has stored: its alias, or its URL.", show_default=False),
    ] = None,
    is_denied: Annotated[bool, typer.Option("--deny", help="Refuse the picture from now on.")] = False,
    is_allowed: Annotated[bool, typer.Option("--allow", help="Let the picture pass from now on.")] = False,
    bank: Bank = None,
    expires: Expires = None,
) -> None:
    """Put a picture on a list. It works on every replica within two seconds.

    A file stays on this machine: its sha256 and, of a still picture, its PDQ are sent. pict-rs changes a picture before
    it asks (it removes metadata, and may encode it again), so that the sha256 of a file on your disk is often another.
    """
    if sum(each is not None for each in (picture, decision, alias)) != 1:
        raise typer.BadParameter("name one of a file, a hash, --decision and --alias")
    if is_denied == is_allowed:
        raise typer.BadParameter("say either --deny or --allow")
    kind, reason = ListKind.DENY if is_denied else ListKind.ALLOW, required_reason(reason)
    if decision is not None:
        answer = list_decision(decision, kind, reason, bank, expires)
    elif alias is not None:
        wanted = PictureListing(
            reference=alias, kind=kind, reason=reason, bank=bank_name(bank), expires_at=expires_at(expires)
        )
        answer = AdminConnection().send(ListingAnswer, "POST", "/pictures/list", wanted)
    else:
        selection, source = _given(picture or "", kind)
        answer = send_fingerprints(selection, kind, reason, source, bank, expires)
    show_listing(answer)


def send_fingerprints(
    selection: Selection, kind: ListKind, reason: str, source: str, bank: str | None, expires: str | None
) -> ListingAnswer:
    """Have the service put fingerprints on a list.

    Raises:
        AdminError: it did not.
    """
    wanted = FingerprintListing(
        kind=kind,
        fingerprints=[
            FingerprintRecord(type=each.type, hash=each.digest.hex(), quality=each.quality)
            for each in selection.fingerprints
        ],
        reason=reason,
        source=source,
        bank=bank_name(bank),
        expires_at=expires_at(expires),
    )
    answer = AdminConnection().send(ListingAnswer, "POST", "/lists/entries", wanted)
    return answer.model_copy(update={"notes": [*([selection.note] if selection.note else []), *answer.notes]})


@told
def list_remove(entry: Entry) -> None:
    """Remove an entry. Its picture is scanned again from then on."""
    removed = AdminConnection().send(EntryRecord, "DELETE", f"/lists/entries/{entry}")
    typer.echo(f"Removed the {removed.kind} entry {removed.id} from bank {removed.bank}: {removed.reason}")


@told
def list_confirm(entry: Entry) -> None:
    """Say that an entry is right, after the flood guard has suspended it. It matches again, and stays so."""
    confirmed = AdminConnection().send(EntryRecord, "POST", f"/lists/entries/{entry}/confirm")
    typer.echo(f"Entry {confirmed.id} of bank {confirmed.bank} matches, and is never suspended again.")


@told
def list_show(
    bank: Annotated[str | None, typer.Option(help="Only this bank.", show_default=False)] = None,
    kind: Kind = None,
    suspended: Annotated[bool, typer.Option("--suspended", help="Only entries that wait for a person.")] = False,
    after: Annotated[int, typer.Option(min=0, help="Only entries with higher numbers.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many, the oldest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead, an entry a line.")] = False,
) -> None:
    """Show the entries of the lists, the oldest first."""
    given = {"bank": bank_name(bank), "kind": kind, "suspended": "true" if suspended else None}
    params = {key: str(value) for key, value in given.items() if value is not None}
    page = AdminConnection().get(Entries, "/lists/entries", params | {"after": str(after), "limit": str(limit)})
    if as_json:
        for each in page.entries:
            typer.echo(each.model_dump_json())
    else:
        Console().print(entry_table(page.entries))
    if page.after is not None:
        typer.echo(f"There are more: see them with --after {page.after}.", err=True)


@told
def list_banks(
    bank: Annotated[str | None, typer.Argument(help="Make this bank, or change it.", show_default=False)] = None,
    shadow: Annotated[
        bool | None,
        typer.Option("--shadow/--no-shadow", help="Its entries match and are recorded, and decide nothing."),
    ] = None,
    not_exportable: Annotated[
        bool, typer.Option("--not-exportable", help="Its hashes never leave the service. This cannot be undone.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the bank and all of its entries.")] = False,
) -> None:
    """Show the banks, or change one. An import, or an entry for a new bank, makes it: it decides, and is exportable.

    So make a bank before the import where it is to be on trial (--shadow), or under contract (--not-exportable).
    """
    service = AdminConnection()
    if bank is None:
        if shadow is not None or not_exportable or remove:
            raise typer.BadParameter("name the bank", param_hint="BANK")
        Console().print(bank_table(service.get(Banks, "/lists/banks").banks))
        return
    path = f"/lists/banks/{path_segment(bank_name(bank) or '')}"
    if remove:
        removed = service.send(BankRecord, "DELETE", path)
        typer.echo(f"Removed the bank {removed.name} with {removed.entries:,} entries.")
        return
    known = {each.name: each for each in service.get(Banks, "/lists/banks").banks}.get(bank)
    rights = BankRights(
        shadow=shadow if shadow is not None else known is not None and known.shadow,
        exportable=not not_exportable and (known is None or known.exportable),
    )
    Console().print(bank_table([service.send(BankRecord, "PUT", path, rights)]))


@told
def list_import(
    file: Annotated[Path, typer.Argument(help="The file of entries.", exists=True, dir_okay=False)],
    bank: Annotated[str, typer.Option(help="The bank that the entries go to.", show_default=False)],
    file_format: Annotated[
        FileFormat | None, typer.Option("--format", help="By default the suffix says it: .csv, .jsonl, .txt (plain).")
    ] = None,
    is_denied: Annotated[bool, typer.Option("--deny", help="All entries deny.")] = False,
    is_allowed: Annotated[bool, typer.Option("--allow", help="All entries allow.")] = False,
    hash_type: Annotated[
        FingerprintType | None, typer.Option("--type", help="Of plain hashes of 64 digits: sha256 or pdq.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Where the file gives none.")] = "",
    source: Annotated[str, typer.Option(help="Where the file gives none.")] = "",
    expires: Expires = None,
) -> None:
    """Import a file of entries, whole or not at all: if a line is wrong, nothing is imported, and the lines are named.

    Formats: csv (a header with `type` and `hash`), jsonl, plain (`HASH` or `TYPE HASH` a line), and threatexchange (the
    CSV of `threatexchange dataset -P --csv`).
    """
    if is_denied and is_allowed:
        raise typer.BadParameter("say either --deny or --allow")
    known = file_format or _FORMATS.get(file.suffix.lower())
    if known is None:
        raise typer.BadParameter(f"{file.name}: the suffix does not say the format", param_hint="--format")
    expires_on = expires_at(expires)
    given = {
        "bank": bank_name(bank),
        "format": known,
        "kind": ListKind.DENY if is_denied else ListKind.ALLOW if is_allowed else None,
        "type": hash_type,
        "reason": reason,
        "source": source,
        "expires_at": expires_on and expires_on.isoformat(),
        "name": file.name,
    }
    params = {key: str(value) for key, value in given.items() if value}
    size_bytes = file.stat().st_size
    with file.open("rb") as content, progress(Console(stderr=True)) as show:

        def sent(sent_bytes: int) -> None:
            is_all = sent_bytes == size_bytes
            show("all is sent, and is being checked and imported" if is_all else f"{sent_bytes / 1e6:,.1f} MB sent")

        answer = AdminConnection().upload(ImportAnswer, "/lists/import", content, params, sent)
    skipped = f", {answer.skipped:,} lines skipped (nothing for these lists in them)" if answer.skipped else ""
    typer.echo(
        f"Imported into bank {answer.bank}: {answer.changed:,} entries new or changed, {answer.known:,} known{skipped}."
    )


@told
def list_export(
    file: Annotated[
        Path | None, typer.Argument(help="The file to write; the standard output without it.", show_default=False)
    ] = None,
    bank: Annotated[str | None, typer.Option(help="Only this bank.", show_default=False)] = None,
    kind: Kind = None,
    file_format: Annotated[
        FileFormat | None, typer.Option("--format", help="By default the suffix says it, else csv.")
    ] = None,
) -> None:
    """Export entries, but none of a bank that is not exportable."""
    known = file_format or (_FORMATS.get(file.suffix.lower()) if file else None) or FileFormat.CSV
    given = {"format": known, "bank": bank_name(bank), "kind": kind}
    params = {key: str(value) for key, value in given.items() if value is not None}
    if file is None:
        AdminConnection().download("/lists/export", sys.stdout.buffer, params)
        return
    partial = file.with_name(file.name + ".part")
    try:
        with _private(partial) as out, progress(Console(stderr=True)) as show:
            AdminConnection().download(
                "/lists/export", out, params, lambda got_bytes: show(f"{got_bytes / 1e6:,.1f} MB")
            )
        partial.replace(file)
    except OSError as error:
        raise AdminError(f"{file} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


_FORMATS = {
    ".csv": FileFormat.CSV,
    ".jsonl": FileFormat.JSON_LINES,
    ".ndjson": FileFormat.JSON_LINES,
    ".txt": FileFormat.PLAIN,
}


def _private(file: Path) -> BinaryIO:
    """A new file that nobody else can read: hashes are sensitive."""
    file.touch(0o600)
    file.chmod(0o600)
    return file.open("wb")


def _given(picture: str, kind: ListKind) -> tuple[Selection, str]:
    """The fingerprints of a file or a hash, and a word on where they are from."""
    from serve_app.lists.formats.lines import fingerprint_of

    file = Path(picture)
    if file.is_file():
        try:
            return fingerprints_of_file(file, kind), f"file {file.name}"
        except OSError as error:
            raise typer.BadParameter(f"{picture} cannot be read: {error.strerror}", param_hint="FILE|HASH") from error
    given = _HASH.fullmatch(picture)
    if given is None:
        raise typer.BadParameter(f"{picture!r} is neither a file nor a hash", param_hint="FILE|HASH")
    type_ = given["type"] or _TYPES_BY_DIGITS.get(len(given["digits"]))
    if type_ is None:
        raise typer.BadParameter("write sha256:HEX or pdq:HEX: both have 64 digits", param_hint="FILE|HASH")
    try:
        return Selection((fingerprint_of(type_, given["digits"]),)), ""
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="FILE|HASH") from error
