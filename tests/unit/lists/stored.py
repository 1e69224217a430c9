"""A store of entries that tests make, and lists over it."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType, ListKind, Match, Matches
from serve_app.lists import Origin
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.lists.store import Changes, Everything

NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)


class Held:
    """Holds up whoever calls, until the block ends."""

    def __init__(self) -> None:
        self.is_reached, self._is_over = threading.Event(), threading.Event()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._is_over.set()

    def __call__(self, *_: object) -> Matches:
        self.is_reached.set()
        self._is_over.wait()
        return Matches()


class Store(MemoryListStore):
    """Fails when told to, as a database does."""

    is_down = False
    fails_at_changes = False
    most_changes = 0

    def changes_since(self, version: int) -> Changes:
        if self.fails_at_changes:
            raise ConnectionError("the database does not answer")
        changes = super().changes_since(version)
        self.most_changes = max(self.most_changes, len(changes.entries) + len(changes.removed))
        return changes

    @contextlib.contextmanager
    def everything(self) -> Iterator[Everything]:
        """Without :meth:`changes_since`, which it counts."""
        changes = super().changes_since(0)
        yield Everything(changes.version, changes.banks, iter(changes.entries))

    def origin(self) -> Origin:
        if self.is_down:
            raise ConnectionError("the database does not answer")
        return super().origin()


def draft(number: int, kind: ListKind = ListKind.DENY, bank: str = "ours") -> EntryDraft:
    fingerprint = Fingerprint(FingerprintType.SHA256, sha256(number))
    return EntryDraft(kind=kind, fingerprint=fingerprint, bank=bank, reason="known")


def sha256(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def asked(lists: LiveLists, number: int) -> Match | None:
    return lists.snapshot.exact({FingerprintType.SHA256: sha256(number)}, NOW).deciding


def pdq_draft(number: int) -> EntryDraft:
    fingerprint = Fingerprint(FingerprintType.PDQ, sha256(number))
    return EntryDraft(kind=ListKind.DENY, fingerprint=fingerprint, bank="ours", reason="known")
