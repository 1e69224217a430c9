"""``python -m tests.e2e.browser.figures FOLDER…``: how far what we scan is from what Chromium shows, by media type.

Without a folder: the generated files. Two figures: the share of files that Chromium shows and we refuse, and the share
of pictures that are shown and compared of which no view of ours is near. Files that fail are listed by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from tests.e2e.browser.chromium import draw_all
from tests.e2e.browser.generated import generated_files
from tests.e2e.browser.judging import COMPARED_FROM_PX, MAX_DIFFERENCE, PICTRS_TYPES, Outcome, judge
from tests.e2e.browser.media import files_in
from tests.e2e.browser.named import reason_for

_ROW = "{:<22}{:>8}{:>10}{:>10}{:>12}{:>10}{:>10}"


def measure(
    folders: Annotated[list[Path] | None, typer.Argument(help="Files of any kind.", show_default=False)] = None,
) -> None:
    """Let Chromium draw the files, compare, print."""
    files = files_in(folders) if folders else generated_files()
    drawings = draw_all(files)
    outcomes = {name: judge(read(), drawings[name]) for name, read in files.items()}
    print(_ROW.format("", "shown", "refused", "share", "compared", "another", "share"))
    for media_type in sorted({outcome.media_type for outcome in outcomes.values()}):
        print(_row(media_type, (each for each in outcomes.values() if each.media_type == media_type)))
    print(_row("types of pict-rs", (each for each in outcomes.values() if each.media_type in PICTRS_TYPES)))
    print(_row("other types", (each for each in outcomes.values() if each.media_type not in PICTRS_TYPES)))
    print(
        "\nrefused: of the files that Chromium shows; cut files are scanned, as in the background lane.\n"
        f"another: no view within {MAX_DIFFERENCE:.0f} grey levels, of pictures over {COMPARED_FROM_PX} px a side.\n"
    )
    _print_faults(outcomes)


def _row(name: str, outcomes: Iterable[Outcome]) -> str:
    shown = [each for each in outcomes if each.is_shown]
    refused = sum(each.is_refused_though_shown for each in shown)
    compared = [each for each in shown if each.difference is not None]
    others = sum(each.is_another_picture for each in compared)
    return _ROW.format(
        name, len(shown), refused, _share(refused, shown), len(compared), others, _share(others, compared)
    )


def _share(count: int, of: list[Outcome]) -> str:
    return f"{count / len(of):.2%}" if of else "-"


def _print_faults(outcomes: Mapping[str, Outcome]) -> None:
    for name, outcome in sorted(outcomes.items(), key=lambda each: (each[1].media_type, each[0])):
        if outcome.fault is not None:
            reason = reason_for(name)
            print(f"{outcome.media_type}  {name}: {outcome.fault}" + (f" ({reason})" if reason else ""))


if __name__ == "__main__":
    typer.run(measure)
