"""The pictures of a folder on which people have corrected the service: denied ones, and allowed ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from serve_app.admin_api import Entries
from serve_app.cli.admin.connection import AdminConnection

_PAGE = 1000


def corrected(paths: Iterable[Path], bank: str, service: AdminConnection) -> tuple[list[Path], list[Path]]:
    """Those of ``paths`` whose bytes are denied in ``bank``, and those whose bytes are allowed in any bank.

    Raises:
        AdminError: the service does not tell its entries.
    """
    denied = _hashes(service, {"kind": "deny", "bank": bank})
    allowed = _hashes(service, {"kind": "allow"})
    digests = {path: _digest(path) for path in paths}
    return (
        [path for path, digest in digests.items() if digest in denied],
        [path for path, digest in digests.items() if digest in allowed - denied],
    )


def _hashes(service: AdminConnection, query: dict[str, str]) -> set[str]:
    found: set[str] = set()
    after: int | None = 0
    while after is not None:
        page = service.get(Entries, "/lists/entries", query | {"after": str(after), "limit": str(_PAGE)})
        found.update(each.hash for each in page.entries if each.hash is not None and each.type == "sha256")
        after = page.after
    return found


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None
