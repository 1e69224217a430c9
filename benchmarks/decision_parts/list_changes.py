"""How soon a change of the lists decides in every process that shares a database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import aiohttp

from benchmarks import load
from benchmarks.bodies import photo_like_jpeg, unique
from benchmarks.decision_parts.large_lists import ENTRIES, put_large_lists, stored
from benchmarks.decision_parts.part import Options, Part
from benchmarks.decision_parts.services import serving
from benchmarks.outcomes import percentile_ms
from benchmarks.record import at_most, table
from serve_app.domain.lists import EntryDraft, Fingerprint, FingerprintType, ListKind
from serve_app.lists.sql_store import SqlListStore

_MOST_S = 2.0
_PROCESSES = 2
_CHANGES = 10
_GIVE_UP_S = 10.0
_POLL_S = 0.01


def measure(options: Options) -> Part:
    """Entries are added to the database and removed again; a picture is sent to each process until it follows."""
    homes = [options.home(f"replica-{number}") for number in range(_PROCESSES)]
    location = put_large_lists(options, homes[0])
    with contextlib.ExitStack() as ended:
        urls = [ended.enter_context(serving(home, {"ledger": str(location.file)})).url for home in homes]
        store = ended.enter_context(stored(location))
        picture = photo_like_jpeg(20_000, options.seed)
        added, removed = zip(
            *(asyncio.run(_change(store, urls, unique(picture))) for _ in range(_CHANGES)), strict=True
        )
    rows = (
        (name, len(times_s), percentile_ms(times_s, 0.5), max(times_s) * 1e3)
        for name, times_s in (("an entry is added", added), ("it is removed", removed))
    )
    note = (
        f"{_PROCESSES} services in one process over one SQLite file with {ENTRIES:,} entries, as ingress replicas of a "
        "node are; from the commit of the change until the last of them has answered by it."
    )
    slowest_s = max(*added, *removed)
    checks = [at_most("a change of the lists decides in every process within", slowest_s, _MOST_S, "s", 2)]
    columns = {"change": 0, "times": 0, "p50 ms": 0, "most ms": 0}
    return [table("Changes of the lists", columns, rows, note)], checks


async def _change(store: SqlListStore, urls: list[str], picture: bytes) -> tuple[float, float]:
    """Seconds until every process denies ``picture``, once its sha256 is listed, and until none does any more."""
    async with load.session() as client:
        told = json.loads((await load.post(client, urls[0], picture))[1])
        fingerprint = Fingerprint(FingerprintType.SHA256, bytes.fromhex(told["sha256"]))
        draft = EntryDraft(kind=ListKind.DENY, fingerprint=fingerprint, bank="another bank", reason="on trial")
        addition = await asyncio.to_thread(store.add, [draft])
        added_s = await _until_all(client, urls, picture, is_listed=True)
        await asyncio.to_thread(store.remove, addition.first_ids)
        return added_s, await _until_all(client, urls, picture, is_listed=False)


async def _until_all(client: aiohttp.ClientSession, urls: list[str], picture: bytes, *, is_listed: bool) -> float:
    began_s = time.perf_counter()

    async def follow(url: str) -> float:
        while time.perf_counter() - began_s < _GIVE_UP_S:
            _, answer = await load.post(client, url, picture)
            if (json.loads(answer)["reason"] == "listed") is is_listed:
                break
            await asyncio.sleep(_POLL_S)
        return time.perf_counter() - began_s

    return max(await asyncio.gather(*map(follow, urls)))
