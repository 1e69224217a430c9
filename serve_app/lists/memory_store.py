"""Entries and banks in the memory of one process, lost when it ends: for ``ledger: memory``, and for tests."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from serve_app.domain import ListingError
from serve_app.domain.lists import Bank, EntryDraft, Fingerprint, FingerprintType, ListEntry, ListKind
from serve_app.lists.partition_file import Origin
from serve_app.lists.removals import KnownRemovals
from serve_app.lists.store import IMPORT_UNDER_WAY, Addition, Changes, Everything

_Key = tuple[FingerprintType, bytes, ListKind, str]


class MemoryListStore:
    """:class:`serve_app.lists.store.ListStore` in memory."""

    def __init__(self, wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._wall_clock = wall_clock
        self._lock = threading.RLock()
        self._importing = threading.Lock()
        self._lineage = uuid.uuid4().hex
        self._version = 0
        self._last_id = 0
        self._banks: dict[str, Bank] = {}
        self._entries: dict[int, ListEntry] = {}
        self._by_key: dict[_Key, int] = {}
        self._changed_in: dict[int, int] = {}
        self._removed_in: dict[int, int] = {}
        self._known_removals = KnownRemovals()

    def origin(self) -> Origin:
        """See the port."""
        with self._lock:
            return Origin(self._lineage, self._version)

    def banks(self) -> Mapping[str, Bank]:
        """See the port."""
        with self._lock:
            return dict(self._banks)

    def put_bank(self, bank: Bank) -> None:
        """See the port."""
        with self._lock:
            self._version += 1
            self._banks[bank.name] = bank

    def remove_bank(self, name: str) -> int:
        """See the port."""
        with self._lock:
            removed = self.remove([each.id for each in self._entries.values() if each.bank == name])
            self._version += 1
            self._banks.pop(name, None)
            return removed

    def add(self, drafts: Iterable[EntryDraft]) -> Addition:
        """See the port."""
        given = list(drafts)
        with self._lock:
            self._version += 1
            changed = [entry_id for draft in given if (entry_id := self._put(draft)) is not None]
            return Addition(self._version, len(changed), len(given) - len(changed), tuple(changed[:100]))

    def import_all(self, read: Callable[[], Iterable[EntryDraft]]) -> Addition:
        """See the port."""
        if not self._importing.acquire(blocking=False):
            raise ListingError(IMPORT_UNDER_WAY)
        try:
            before = self.banks()
            given = list(read())
            with self._lock:
                for name in {each.bank for each in given} & before.keys():
                    # If it was removed while the file was read, it is made again under the same contract.
                    self._banks.setdefault(name, before[name])
                return self.add(given)
        finally:
            self._importing.release()

    def erase_unfinished(self) -> None:
        """See the port."""

    def _put(self, draft: EntryDraft) -> int | None:
        """The id of an entry that is new, or differs from before."""
        self._banks.setdefault(draft.bank, Bank(draft.bank))
        key = _key(draft)
        known = self._by_key.get(key)
        if known is None:
            self._last_id += 1
            self._by_key[key] = self._last_id
            entry = ListEntry(
                id=self._last_id,
                added_at=self._wall_clock(),
                kind=draft.kind,
                fingerprint=draft.fingerprint,
                bank=draft.bank,
                reason=draft.reason,
                source=draft.source,
                author=draft.author,
                expires_at=draft.expires_at,
                is_confirmed=draft.is_confirmed,
            )
        else:
            old = self._entries[known]
            entry = replace(
                old,
                fingerprint=draft.fingerprint if draft.fingerprint.can_match else old.fingerprint,
                reason=draft.reason,
                source=draft.source,
                expires_at=_expiry(old, draft),
                is_confirmed=old.is_confirmed or draft.is_confirmed,
                suspended_at=None if draft.is_confirmed else old.suspended_at,
            )
            if entry == old:
                return None
        self._set(entry)
        return entry.id

    def _set(self, entry: ListEntry) -> None:
        self._entries[entry.id] = entry
        self._changed_in[entry.id] = self._version

    def remove(self, ids: Iterable[int]) -> int:
        """See the port."""
        with self._lock:
            self._version += 1
            known = set(ids) & self._entries.keys()
            for each in known:
                del self._by_key[_key(self._entries.pop(each))], self._changed_in[each]
                self._removed_in[each] = self._version
            return len(known)

    def suspend(self, ids: Iterable[int]) -> int:
        """See the port."""
        at = self._wall_clock()
        return self._change(
            ids,
            lambda entry: entry if entry.is_confirmed or entry.suspended_at else replace(entry, suspended_at=at),
        )

    def confirm(self, ids: Iterable[int]) -> int:
        """See the port."""
        return self._change(ids, lambda entry: replace(entry, suspended_at=None, is_confirmed=True))

    def _change(self, ids: Iterable[int], change: Callable[[ListEntry], ListEntry]) -> int:
        with self._lock:
            self._version += 1
            changed = 0
            for each in set(ids) & self._entries.keys():
                entry = change(self._entries[each])
                if entry != self._entries[each]:
                    self._set(entry)
                    changed += 1
            return changed

    def entry(self, entry_id: int) -> ListEntry | None:
        """See the port."""
        with self._lock:
            return self._entries.get(entry_id)

    def find(self, fingerprint: Fingerprint) -> Sequence[ListEntry]:
        """See the port."""
        wanted = (fingerprint.type, fingerprint.digest)
        with self._lock:
            return [each for each in self._in_order() if (each.fingerprint.type, each.fingerprint.digest) == wanted]

    def page(
        self,
        bank: str | None = None,
        after: int = 0,
        limit: int = 1000,
        *,
        kind: ListKind | None = None,
        is_suspended: bool | None = None,
    ) -> Sequence[ListEntry]:
        """See the port."""
        with self._lock:
            return [
                each
                for each in self._in_order()
                if each.id > after
                and bank in {None, each.bank}
                and kind in {None, each.kind}
                and is_suspended in {None, each.suspended_at is not None}
            ][:limit]

    def suspended_count(self) -> int:
        """See the port."""
        with self._lock:
            return sum(each.suspended_at is not None for each in self._entries.values())

    def counts(self) -> Mapping[str, int]:
        """See the port."""
        with self._lock:
            return Counter(each.bank for each in self._entries.values())

    def changes_since(self, version: int) -> Changes:
        """See the port."""
        with self._lock:
            return Changes(
                self._version,
                dict(self._banks),
                [each for each in self._in_order() if self._changed_in[each.id] > version],
                frozenset(each for each, removed_in in self._removed_in.items() if removed_in > version),
                is_complete=self._known_removals.has_all_since(version),
            )

    def changes_count_since(self, version: int) -> int:
        """See the port."""
        with self._lock:
            return sum(each > version for each in (*self._changed_in.values(), *self._removed_in.values()))

    def forget_removals(self, now: datetime) -> int:
        """See the port."""
        with self._lock:
            self._known_removals = known = self._known_removals.at(now, self._version)
            old = [each for each, removed_in in self._removed_in.items() if removed_in <= known.forgotten_to]
            for each in old:
                del self._removed_in[each]
            return len(old)

    @contextlib.contextmanager
    def everything(self) -> Iterator[Everything]:
        """See the port."""
        changes = self.changes_since(0)
        yield Everything(changes.version, changes.banks, iter(changes.entries))

    def close(self) -> None:
        """See the port."""

    def _in_order(self) -> list[ListEntry]:
        return sorted(self._entries.values(), key=lambda each: each.id)


def _key(draft: EntryDraft) -> _Key:
    return draft.fingerprint.type, draft.fingerprint.digest, draft.kind, draft.bank


def _expiry(old: ListEntry, new: EntryDraft) -> datetime | None:
    if old.kind is ListKind.ALLOW:
        return new.expires_at
    return max(old.expires_at, new.expires_at) if old.expires_at and new.expires_at else None
