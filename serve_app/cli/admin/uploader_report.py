"""Who brought a picture, as people read it."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from serve_app.admin_api import UploadersAnswer
from serve_app.cli.moments import local


def whereabouts(answer: UploadersAnswer) -> RenderableType:
    """The aliases, the uploads, and what shows the picture; below them what is not known."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for alias in answer.aliases:
        table.add_row("alias", Text(alias))
    for upload in answer.uploads:
        told = f"{upload.person}, {local(upload.uploaded_at)}, as {upload.alias}"
        if upload.thumbnail_of is not None:
            told = f"Lemmy, as the thumbnail of post {upload.thumbnail_of} by {told}"
        table.add_row("uploaded by", Text(told))
    for each in answer.shown:
        table.add_row("shown by", Text(f"{each.kind} {each.id} of {each.author}: {each.url}"))
    return Group(table, *(Text(note) for note in answer.notes))
