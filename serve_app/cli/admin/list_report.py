"""Lists as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from serve_app.admin_api import BankRecord, EntryRecord
from serve_app.cli.moments import local

_STYLES = {"allow": "green", "deny": "bold red"}


def entry_table(entries: Sequence[EntryRecord]) -> Table:
    """One row per entry; the hash of a bank that is not exportable is not shown."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("entry", justify="right", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    table.add_column("bank", overflow="fold")
    table.add_column("hash", no_wrap=True)
    table.add_column("added", no_wrap=True)
    table.add_column("by", overflow="fold")
    table.add_column("reason", overflow="fold")
    for each in entries:
        table.add_row(
            str(each.id),
            Text(each.kind, _STYLES[each.kind]),
            Text(each.bank),
            f"{each.type} {each.hash[:8] + '...' if each.hash else '(hidden)'}",
            each.added_at.astimezone().strftime("%Y-%m-%d"),
            Text(each.author),
            Text(_reason(each)),
        )
    return table


def bank_table(banks: Sequence[BankRecord]) -> Table:
    """One row per bank."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("bank", overflow="fold")
    table.add_column("entries", justify="right", no_wrap=True)
    table.add_column("rights", overflow="fold")
    for each in banks:
        rights = ["shadow: decides nothing"] * each.shadow + ["not exportable"] * (not each.exportable)
        table.add_row(Text(each.name), f"{each.entries:,}", ", ".join(rights) or "decides, exportable")
    return table


def made(entries: Sequence[EntryRecord], notes: Sequence[str], pending: Sequence[str] = ()) -> list[str]:
    """Lines about entries that were made."""
    lines = [f"{each.kind} entry {each.id} in bank {each.bank}: {each.type}" for each in entries]
    lines += [f"note: {each}" for each in notes]
    lines += [f"pending: decision {each} on the same bytes; pictwarden rescan scans its picture" for each in pending]
    return lines


def _reason(entry: EntryRecord) -> str:
    marks = []
    if entry.suspended_at is not None:
        marks.append(f"SUSPENDED {local(entry.suspended_at)}")
    if entry.expires_at is not None:
        marks.append(f"until {local(entry.expires_at)}")
    return f"{entry.reason} ({', '.join(marks)})" if marks else entry.reason
