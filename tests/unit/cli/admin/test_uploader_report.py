"""Who brought a picture, as the terminal shows it."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

from serve_app.admin_api import ShownRecord, UploadersAnswer, UploadRecord
from serve_app.cli.admin.uploader_report import whereabouts

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def lines(answer: UploadersAnswer) -> list[str]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(whereabouts(answer))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_thumbnail_is_said_to_be_lemmys_own() -> None:
    upload = UploadRecord(alias="a.png", person="alice@lemmy.example", uploaded_at=NOON, thumbnail_of=7)
    shown = ShownRecord(kind="comment", id=9, url="https://elsewhere.example/comment/9", author="bob@elsewhere.example")
    told = lines(UploadersAnswer(aliases=["a.png"], uploads=[upload], shown=[shown], notes=["A note."]))
    assert told[0] == "alias        a.png"
    assert told[1].startswith("uploaded by  Lemmy, as the thumbnail of post 7 by alice@lemmy.example, 2026-01-31 ")
    assert told[2:] == [
        "shown by     comment 9 of bob@elsewhere.example: https://elsewhere.example/comment/9",
        "A note.",
    ]


def test_brackets_are_no_markup() -> None:
    upload = UploadRecord(alias="[red]a.png", person="[b]alice", uploaded_at=NOON, thumbnail_of=None)
    told = lines(UploadersAnswer(aliases=["[red]a.png"], uploads=[upload], shown=[], notes=["[i]"]))
    assert (told[0], told[-1]) == ("alias        [red]a.png", "[i]")
    assert told[1].startswith("uploaded by  [b]alice, ")
