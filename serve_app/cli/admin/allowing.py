"""``pictwarden allow`` and ``deny``, and what all commands share that make entries of lists."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

import typer

from serve_app.admin_api import DecisionListing, ListingAnswer
from serve_app.cli.admin.connection import AdminConnection, path_segment
from serve_app.cli.admin.errors import told
from serve_app.cli.admin.list_report import made
from serve_app.cli.moments import EXPIRY_WAY_OUT, expiry
from serve_app.domain.canary import CANARY_BANK

_BANK_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

Reason = Annotated[str, typer.Option("--reason", help="Why, for people; answers repeat it.", show_default=False)]
Expires = Annotated[
    str | None, typer.Option("--expires", help=f"The entries end then: {EXPIRY_WAY_OUT}.", show_default=False)
]
Bank = Annotated[str | None, typer.Option("--bank", help="By default `allowed` or `denied`.", show_default=False)]
DecisionId = Annotated[str, typer.Argument(help="The id of a decision.", metavar="DECISION", show_default=False)]


@told
def allow(decision: DecisionId, reason: Reason, bank: Bank = None, expires: Expires = None) -> None:
    """Undo a refusal: the picture of this decision passes from now on.

    Its bytes are put on a list, and the PDQs of all of its frames if their quality suffices, so that copies pass that
    were encoded again. It is not uploaded again: that is for its owner.
    """
    show_listing(list_decision(decision, "allow", reason, bank, expires))


@told
def deny(decision: DecisionId, reason: Reason, bank: Bank = None, expires: Expires = None) -> None:
    """Refuse the picture of this decision from now on.

    Its bytes are put on a list, and the PDQ of the frame that decided if its quality suffices. A copy that is stored
    already stays: `pictwarden ban` purges it.
    """
    show_listing(list_decision(decision, "deny", reason, bank, expires))


def list_decision(decision: str, kind: str, reason: str, bank: str | None, expires: str | None) -> ListingAnswer:
    """Have the service put the picture of a decision on a list.

    Raises:
        AdminError: it did not.
    """
    wanted = DecisionListing(reason=required_reason(reason), bank=bank_name(bank), expires_at=expires_at(expires))
    return AdminConnection().send(ListingAnswer, "POST", f"/decisions/{path_segment(decision)}/{kind}", wanted)


def show_listing(answer: ListingAnswer) -> None:
    """Say what was put on a list."""
    for line in made(answer.entries, answer.notes, answer.pending):
        typer.echo(line)


def required_reason(reason: str) -> str:
    """``reason``, if it says anything."""
    if not reason.strip() or len(reason.strip()) > 500:
        raise typer.BadParameter("give a reason of 1 to 500 characters", param_hint="--reason")
    return reason.strip()


def expires_at(text: str | None) -> datetime | None:
    """The time that was given as ``--expires``."""
    try:
        return None if text is None else expiry(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--expires") from error


def bank_name(given: str | None) -> str | None:
    """The name that was given as ``--bank``."""
    if given is not None and not _BANK_NAME.fullmatch(given):
        raise typer.BadParameter("a bank's name has 1 to 64 of a-z, 0-9, and ._- after the first", param_hint="--bank")
    if given == CANARY_BANK:
        raise typer.BadParameter(f"the bank {CANARY_BANK} is built in: name another", param_hint="--bank")
    return given
