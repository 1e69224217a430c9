"""Before a scan removes files: whether a server software owns them, and was not named."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

from serve_app.domain import SettingsError
from serve_app.storage.layouts.recognised import recognised
from serve_app.storage.scan.source import MOST_LISTED, Source, Wanted


async def require_unowned(source: Source, wanted: Wanted) -> None:
    """Look at the first names of a store; pict-rs removes its files itself.

    Raises:
        SettingsError: they are names as a known software gives them, whose files only it should remove.
        StorageError: the store cannot be listed.
    """
    if source.audit_name is None:
        return
    names: list[str] = []
    parts = source.files(replace(wanted, since=None, is_newest_first=False))
    try:
        async for part in parts:
            names += (file.name for file in part)
            if len(names) >= MOST_LISTED:
                break
    finally:
        if isinstance(parts, AsyncGenerator):
            await parts.aclose()
    if found := recognised(names):
        softwares = " or ".join(layout.software for layout in found)
        options = " or ".join(f"--software {layout.name}" for layout in found)
        raise SettingsError(
            f"{source.url} looks like the storage of {softwares}, which would miss the files that are removed: add "
            f"{options}, or, if it is not, --software none"
        )
