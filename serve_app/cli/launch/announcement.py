"""The announcement of a start: four sample pictures are scanned, and the line for pict-rs is printed."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from serve_app.cli.check.scan_table import scan_table
from serve_app.cli.report import print_notices
from serve_app.domain import UnavailableError
from serve_app.settings.presets import Preset

if TYPE_CHECKING:
    from serve_app.cli.check.scanning import Scan


def announce(url: str, ready_after_s: float, console: Console, preset: Preset | None, file: Path | None) -> None:
    """Send the four sample pictures to ``url`` and show the answers and the preset, then the line to paste.

    The line holds the secret, and is shown at a terminal alone: any other output is a log, which others read too.

    Args:
        url: for scans, with the secret.
        ready_after_s: the seconds that the start took.
        console: prints all but the line.
        preset: if one was chosen.
        file: where ``url`` is stored, if it is.

    Raises:
        UnavailableError: a sample was not scanned, twice, for a reason that lies with the service.
    """
    scans = scan_samples(url)
    console.print(f"ready after {ready_after_s:.0f} s; four sample pictures, sent through the real path:\n")
    console.print(scan_table(scans))
    unscanned = [each for each in scans if each.is_unscanned_for_now]
    if unscanned:
        raise UnavailableError(
            f"the service is stopped, because {len(unscanned)} of {len(scans)} sample pictures were not scanned "
            f"({unscanned[0].reason}: {unscanned[0].message})"
        )
    if preset is not None:
        console.print(f"\n{preset}", markup=False, soft_wrap=True)
        for line in preset.kinds:
            console.print(line, style="yellow", markup=False, soft_wrap=True)
    # The preset's line has the notices of its models.
    notices = [each.notice for each in scans if each.notice and each.notice not in str(preset)]
    if notices:
        console.print()
    print_notices(notices, console)
    if shows_secrets():
        console.print(
            "\nSet this in the environment of pict-rs, or POST a picture to the URL; Ctrl-C stops the service:\n"
        )
        # Not the console, which would break the line at the terminal's width.
        print(f"PICTRS__MEDIA__EXTERNAL_VALIDATION={url}", flush=True)
    elif file is not None:
        console.print(f"\nthe URL for pict-rs, with its secret, is in {file}", markup=False, soft_wrap=True)


def shows_secrets() -> bool:
    """Whether what is printed is shown at a terminal, and stored nowhere."""
    return sys.stdout is not None and sys.stdout.isatty()


def scan_samples(url: str) -> list[Scan]:
    """The answers to the samples; a sample that could not be scanned is sent a second time."""
    with resources.as_file(resources.files("serve_app.cli") / "samples") as folder:
        samples = sorted(folder.iterdir())
        scans = {each.picture: each for each in _direct(url, samples)}
        again = [Path(picture) for picture, scan in scans.items() if scan.is_unscanned_for_now]
        scans |= {each.picture: each for each in _direct(url, again)}
    return [replace(each, picture=Path(each.picture).name) for each in scans.values()]


def _direct(url: str, samples: list[Path]) -> list[Scan]:
    # aiohttp takes 6 MB, and a service that is not started at a terminal announces nothing.
    from serve_app.cli.check.scanning import scan_all

    # The service is on this machine, so that no proxy of the environment is used.
    return list(scan_all(url, samples, at_once=1, uses_proxy=False))
