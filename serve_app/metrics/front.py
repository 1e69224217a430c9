"""The metrics of a process that answers: a service in one process, or an ingress replica."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from serve_app.domain import DecisionArchive, LedgerHealth, ModelIdentity, PendingDecisions, in_words
from serve_app.domain.lists import ListsHealth
from serve_app.logs import EventLogger
from serve_app.metrics.answers import AnswerTimes
from serve_app.metrics.decisions import DecisionCounts
from serve_app.metrics.families import Value, register
from serve_app.metrics.stage_times import StageTimes
from serve_app.version import own_version

logger = EventLogger(__name__)

PENDING_EVERY_S: Final = 15.0
"""Seconds between two counts of the pending decisions: a query of the ledger."""


class Admission(Protocol):
    """What is asked of the admission control."""

    @property
    def pictures_inside(self) -> int:
        """Pictures from the first byte of their bodies to the end of their examination."""
        ...

    @property
    def demand(self) -> float:
        """How many pictures recently arrived for each one that was let in."""
        ...

    @property
    def refused(self) -> Mapping[str, int]:
        """Pictures for which there was no room since the start, by source."""
        ...

    @property
    def refused_by_front_end(self) -> int:
        """Requests that the front end has refused by itself, since the start."""
        ...


class Named(Protocol):
    """A model or a policy."""

    @property
    def name(self) -> str:
        """Its name, for people."""
        ...

    @property
    def digest(self) -> str:
        """The sha256 of its content, in hex."""
        ...


class FrontMetrics:
    """What a process that answers counts, from when this is made to :meth:`close`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.close = StageTimes(registry).close
        self.answers = AnswerTimes(registry)
        self.decisions = DecisionCounts(registry)
        self.silent_replicas: Callable[[], Sequence[str]] = tuple
        """Names those on this node that have told no metrics recently."""
        self._pending: PendingDecisions | None = None

    def watch(
        self,
        policies: Mapping[str, Named],
        admission: Admission,
        *,
        model: Callable[[], ModelIdentity],
        ledger_health: Callable[[], LedgerHealth],
        lists_health: Callable[[], ListsHealth],
        over_quota: Callable[[], Mapping[str, int]],
    ) -> None:
        """Have the page tell of the parts of the process. Each is asked whenever somebody asks for the page.

        ``policies`` are those that decide, by the source of the picture.
        """
        self.registry.register(_Identities(policies, model))
        register(self.registry, lambda: _of_admission(admission, over_quota()))
        register(self.registry, lambda: _of_ledger(ledger_health()))
        register(self.registry, lambda: _of_lists(lists_health()))
        register(self.registry, self._of_pending)

    @contextlib.asynccontextmanager
    async def watching(self, archive: DecisionArchive) -> AsyncIterator[None]:
        """The pending decisions of ``archive`` are counted for as long as the block."""

        async def keep_counting() -> None:
            while True:
                await self.count_pending(archive)
                await asyncio.sleep(PENDING_EVERY_S)

        counting = asyncio.create_task(keep_counting(), name="pending-count")
        try:
            yield
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)

    async def count_pending(self, archive: DecisionArchive) -> None:
        """Count the pending decisions of ``archive``. While it cannot be asked, nobody knows how many there are."""
        try:
            self._pending = await archive.pending_count()
        except Exception as error:
            if self._pending is not None:
                why = in_words(error)
                logger.error("pending_uncounted", f"the pending decisions cannot be counted: {why}", why=why)
            self._pending = None

    def _of_pending(self) -> Iterable[Value]:
        count = oldest_s = None
        if self._pending is not None:
            count, oldest_at = self._pending.count, self._pending.oldest_at
            oldest_s = (datetime.now(UTC) - oldest_at).total_seconds() if oldest_at else 0.0
        yield Value("pictwarden_pending_pictures", "Stored pictures that wait to be scanned, in the ledger.", count)
        yield Value(
            "pictwarden_pending_oldest_seconds",
            "For how long the oldest of them has waited; 0 if there is none.",
            oldest_s,
        )


def _of_admission(admission: Admission, over_quota: Mapping[str, int]) -> Iterable[Value]:
    yield Value("pictwarden_pictures_inside", "Pictures that are being read or examined.", admission.pictures_inside)
    yield Value(
        "pictwarden_demand_ratio",
        "Pictures that recently arrived for each one that was let in; 1 while none is refused.",
        admission.demand,
    )
    yield Value("pictwarden_refused_total", "Pictures that were refused for want of room.", admission.refused, "source")
    yield Value(
        "pictwarden_refused_by_front_end_total",
        "Requests that HAProxy refused by itself, while the service was full.",
        admission.refused_by_front_end,
    )
    yield Value(
        "pictwarden_over_quota_total", "Pictures that were over the quota of their source.", over_quota, "source"
    )


def _of_ledger(health: LedgerHealth) -> Iterable[Value]:
    yield Value("pictwarden_ledger_up", "1 while decisions reach the database.", float(health.problem is None))
    yield Value("pictwarden_ledger_spooled_decisions", "Decisions that wait in this process's spool.", health.spooled)
    yield Value("pictwarden_ledger_spool_bytes", "Bytes of this process's spool that are in use.", health.spool_bytes)
    yield Value("pictwarden_ledger_lag_seconds", "Since the spool was last empty; 0 while it is.", health.lag_s)
    yield Value("pictwarden_ledger_lost_total", "Decisions that were not recorded in time.", health.dropped)


def _of_lists(health: ListsHealth) -> Iterable[Value]:
    yield Value("pictwarden_lists_version", "The version of the lists that decisions ask.", health.version)
    yield Value("pictwarden_lists_age_seconds", "Since this process last read the lists.", health.age_s)
    yield Value(
        "pictwarden_lists_suspended_entries",
        "Entries that the flood guard suspended, and nobody confirmed.",
        health.suspended,
    )


class _Identities(Collector):
    """Labels of the value 1, by which other metrics are told apart."""

    def __init__(self, policies: Mapping[str, Named], model: Callable[[], ModelIdentity]) -> None:
        self._policies = policies
        self._model = model
        self._version = own_version()

    def collect(self) -> Iterable[Metric]:
        """See Prometheus' library."""
        yield InfoMetricFamily("pictwarden_build", "Of the software.", {"version": self._version})
        yield InfoMetricFamily("pictwarden_model", "The model; no digest before it is loaded.", _info(self._model()))
        family = InfoMetricFamily("pictwarden_policy", "The policy that decides, by source.", labels=["source"])
        for source, policy in self._policies.items():
            family.add_metric([source], _info(policy))
        yield family


def _info(named: Named) -> dict[str, str]:
    return {"name": named.name, "digest": named.digest[:12]}
