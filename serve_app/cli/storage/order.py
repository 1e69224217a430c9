"""One ``pictwarden storage scan``: the store, what scans, what is done with rejected pictures, and a run over it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from serve_app.cli.interrupt import interruptible_loop, plain_interrupts
from serve_app.cli.local_service import NO_SERVICE
from serve_app.cli.storage.reporting import database_of
from serve_app.cli.storage.scan_progress import ScanShow
from serve_app.cli.storage.service_log import log_lines_on
from serve_app.domain import SettingsError
from serve_app.host.actor import actor_name
from serve_app.ledger import open_archive, open_ledger
from serve_app.lemmy import Reporter, open_lemmy
from serve_app.purges import QuotaOfPurges
from serve_app.settings import Settings
from serve_app.storage import open_door
from serve_app.storage.layouts import Layout
from serve_app.storage.rescan import Scanner
from serve_app.storage.scan.disposal import Disposal, OnReject, Removal, Report
from serve_app.storage.scan.lemmy_reports import LemmyReports
from serve_app.storage.scan.of_software import SoftwareDisposal, SoftwareSource
from serve_app.storage.scan.ownership import require_unowned
from serve_app.storage.scan.run import Progress, StorageScan, Terms
from serve_app.storage.scan.source import Source, Wanted
from serve_app.storage.scan.stores.opening import open_source
from serve_app.storage.scan.watch import LOOK_EVERY_S, wait_for_store, watch_store

if TYPE_CHECKING:
    from serve_app.ledger.sql_archive import SqlArchive


@dataclass(frozen=True, slots=True)
class Order:
    """What the command was told.

    Attributes:
        settings: of the service.
        source: names the store.
        wanted: which files.
        terms: how the run goes about it.
        on_reject: what is done with rejected pictures.
        quarantine: where they go, below the store.
        layout: of the software that the store belongs to.
        url: of the scans of the running service.
        is_local: this process scans.
        is_watching: until it is interrupted.
        is_software_told: the admin named the software, or said that there is none.
    """

    settings: Settings
    source: str
    wanted: Wanted
    terms: Terms
    on_reject: OnReject
    quarantine: str | None
    layout: Layout | None
    url: str | None
    is_local: bool
    is_watching: bool
    is_software_told: bool


async def carry_out(order: Order, progress: Progress, show: ScanShow) -> bool:
    """Carry it out: whether it was interrupted.

    Args:
        order: what the command was told.
        progress: is added to.
        show: tells people.

    Raises:
        PictwardenError: as :meth:`StorageScan.run`; the settings are wrong; or what scans does not start.
    """
    # Libraries of databases take half a second to import.
    from serve_app.lists.opening import open_list_store
    from serve_app.storage.scan.journal import open_journal
    from serve_app.storage.scan.stores.hash_list import HashList

    location = database_of(order.settings)
    async with contextlib.AsyncExitStack() as opened:
        opened.enter_context(log_lines_on(show.console))
        if order.is_local and location.file is not None and not location.file.exists():
            open_ledger(location).close()
        archive = opened.enter_context(contextlib.closing(open_archive(location)))
        store = opened.enter_context(contextlib.closing(open_list_store(location)))
        hash_list = HashList(archive, store, actor_name())
        source = open_source(order.source, order.quarantine, pictrs=order.settings.pictrs, hash_list=hash_list)
        source = source if order.layout is None else SoftwareSource(source, order.layout)
        opened.push_async_callback(source.close)
        may_be_owned = order.on_reject in {OnReject.PURGE, OnReject.QUARANTINE} and not order.is_software_told
        if may_be_owned and not order.is_watching:
            await require_unowned(source, order.wanted)
        scanner = await opened.enter_async_context(_scanner(order, show))
        journal = opened.enter_context(contextlib.closing(open_journal(location, source.url)))
        on_reject = await opened.enter_async_context(_disposal(order, source, archive))
        stop = opened.enter_context(interruptible_loop())

        def begin(disposal: Disposal) -> StorageScan:
            if order.layout is not None:
                disposal = SoftwareDisposal(disposal, order.layout)
            return StorageScan(source, journal, scanner, disposal, order.terms.after(progress), progress)

        def look(may_remove: bool) -> StorageScan:
            # Each look lists files that the one before it has done.
            progress.skipped.clear()
            progress.is_quota_used_up = False
            return begin(on_reject if may_remove else Report())

        if order.is_watching:
            async with show.moving():
                if may_be_owned:
                    await wait_for_store(lambda: require_unowned(source, order.wanted), stop, LOOK_EVERY_S)
                await watch_store(look, order.wanted, stop, show.note, look_every_s=LOOK_EVERY_S)
            progress.skipped.clear()
            return True
        await _scan_once(order, source, begin(on_reject), stop, show)
        if progress.is_quota_used_up and _can_ask():
            if not _goes_on(order.settings.pictrs.max_purges_per_day):
                return False
            progress.is_quota_used_up = False
            stop.clear()
            first = progress.done.copy()
            progress.skipped.clear()
            try:
                await _scan_once(order, source, begin(Report()), stop, show)
            finally:
                # It skips what the first run has done, which is counted already.
                progress.skipped -= first
        return stop.is_set() and not progress.is_quota_used_up


async def _scan_once(
    order: Order,
    source: Source,
    scan: StorageScan,
    stop: asyncio.Event,
    show: ScanShow,
) -> None:
    counting = asyncio.create_task(source.count(order.wanted))

    def total() -> int | None:
        is_known = counting.done() and not counting.cancelled() and counting.exception() is None
        return counting.result() if is_known and order.terms.limit is None else None

    try:
        async with show.moving(total):
            await scan.run(order.wanted, stop, show.note)
    finally:
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)


@contextlib.asynccontextmanager
async def _disposal(order: Order, source: Source, archive: SqlArchive) -> AsyncIterator[Disposal]:
    """What is done with rejected pictures."""
    match order.on_reject:
        case OnReject.REPORT:
            yield Report()
        case OnReject.LEMMY:
            if source.audit_name is not None:
                raise SettingsError(f"Lemmy knows the pictures of pict-rs alone: {source.url} is another store")
            async with open_lemmy(order.settings.lemmy) as lemmy:
                yield LemmyReports(Reporter(lemmy, archive))
        case how:
            if how is OnReject.QUARANTINE and order.quarantine is None and source.audit_name is not None:
                raise SettingsError(
                    f"{source.url} needs a folder for what is quarantined: name one below it with --quarantine"
                )
            most = order.settings.pictrs.max_purges_per_day
            quota = QuotaOfPurges(archive, actor_name(), most, lambda: datetime.now(UTC))
            yield Removal(source, quota, how)


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _goes_on(quota: int) -> bool:
    with plain_interrupts():
        try:
            return typer.confirm(
                f"Today's quota of {quota:,} purges is used up. Scan on, and remove nothing?", err=True
            )
        except typer.Abort:
            return False


@contextlib.asynccontextmanager
async def _scanner(order: Order, show: ScanShow) -> AsyncIterator[Scanner]:
    """The running service, or a model of this process."""
    if not order.is_local:
        if order.url is None:
            raise SettingsError(f"{NO_SERVICE}; or scan in this process with --local")
        async with open_door(order.url) as door:
            yield door
        return
    # What scans takes seconds to import.
    from serve_app.composition.configuration import load_policies
    from serve_app.composition.without_http import moderating
    from serve_app.storage.in_service import ModeratorScanner

    settings = order.settings
    policies = load_policies(settings)
    settings = settings.model_copy(update={"max_background_pictures": max(order.terms.at_once, 1)})
    async with contextlib.AsyncExitStack() as opened:
        with show.loading():
            moderator = await opened.enter_async_context(moderating(settings, policies))
        yield ModeratorScanner(moderator, settings.deadline_s)
