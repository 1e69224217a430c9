"""``pictwarden canary``, which writes the harmless test picture, and what ``pictwarden check --canary`` makes of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.check.patience import Patience
from serve_app.cli.check.scanning import Scan, scan_all
from serve_app.cli.exit_codes import ExitCode
from serve_app.cli.interrupt import interruptible
from serve_app.domain.canary import CANARY_REASON

LISTED = "listed"
"""The reason of an answer that a list gave."""

_ABOUT_LISTS = "see in the log of the service whether it can read its lists, and update it if it is an older version"


def canary(
    path: Annotated[Path, typer.Argument(help="Where to write it, as a PNG.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write the canary: a harmless test picture that every installation refuses.

    Upload it to your own instance, as it is or as any other type or size, to see that uploads are scanned. To ask a
    running service alone, use `pictwarden check --canary`.

    Exit code: 0 if it was written, else 2.
    """
    try:
        with path.open("wb" if force else "xb") as file:
            file.write(_drawn())
    except FileExistsError as error:
        typer.echo(f"{path} is there already: choose another name, or overwrite it with --force", err=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    except OSError as error:
        typer.echo(f"{path} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(ExitCode.ERRORS) from error
    typer.echo(f"wrote {path}: a harmless picture, which Pictwarden refuses under every policy and model")


def send_canary(url: str) -> Scan | None:
    """The service's answer about the canary; None after Ctrl-C."""
    with tempfile.TemporaryDirectory() as folder, interruptible() as stop:
        file = Path(folder, "canary.png")
        file.write_bytes(_drawn())
        scans = list(scan_all(url, [file], at_once=1, patience=Patience(), stop=stop))
    return scans[0] if scans else None


def canary_fault(scan: Scan) -> str | None:
    """What the answer shows to be wrong with the service, and what to do; None if it refused the canary rightly."""
    if scan.is_error:
        return f"the canary was not scanned ({scan.reason}): {scan.message}"
    if scan.is_rejected:
        if scan.reason != LISTED:
            return f"the canary was refused, but by the policy (rule {scan.rule}) and not by the lists: {_ABOUT_LISTS}"
        if scan.message != CANARY_REASON:
            return f"the canary was refused, but by another entry of the lists ({scan.message}): remove that entry"
        return None
    said = f"the canary was not refused (verdict {scan.verdict}), and pictures on deny lists may pass too"
    if scan.reason == LISTED:
        return f"{said}: an allow entry decided ({scan.message}): remove it"
    return f"{said}: {_ABOUT_LISTS}"


def _drawn() -> bytes:
    from serve_app.media.canary import canary_png  # Pillow takes a while, and no other command needs it

    return canary_png()
