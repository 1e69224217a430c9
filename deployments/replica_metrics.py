"""The metrics of a replica: a snapshot in its node's folder every two seconds, and the node's page.

One replica of each node listens, whichever deployment it is of, and tells of all replicas on its node
(``docs/adr/0023``). All of it runs in a thread of its own, which no picture waits for.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from deployments.private_folder import METRICS_FOLDER_ENV
from serve_app.domain import in_words
from serve_app.http.metrics_listener import metrics_listening
from serve_app.logs import EventLogger
from serve_app.metrics import SNAPSHOT_EVERY_S, CollectorRegistry, NodePage, StageTimes, page_app, page_text
from serve_app.settings import MetricsSettings

logger = EventLogger(__name__)


class ReplicaMetrics:
    """Publishes the metrics of this replica, from when it is made to the end of the process."""

    def __init__(self, registry: CollectorRegistry, host: str, port: int, folder: Path, replica: str) -> None:
        """Start the thread.

        Args:
            registry: of this replica.
            host: of the node's page.
            port: of the node's page.
            folder: of the snapshots of all replicas on this node.
            replica: the name of this one.

        Raises:
            OSError: the folder cannot be made.
        """
        self._registry = registry
        self._address = host, port
        self._page = NodePage(folder)
        self._replica = replica
        self._told = ""
        self._silent: Sequence[str] = ()
        threading.Thread(target=self._run, name="metrics", daemon=True).start()

    def silent_replicas(self) -> Sequence[str]:
        """Replicas on this node that had told nothing recently when this one last told its own metrics.

        It reads no file: an event loop asks, for anybody.
        """
        return self._silent

    def _run(self) -> None:
        asyncio.run(self._publish())

    async def _publish(self) -> None:
        async with metrics_listening(page_app(self._page.text), *self._address):
            while True:
                self._write()
                await asyncio.sleep(SNAPSHOT_EVERY_S)

    def _write(self) -> None:
        problem = ""
        try:
            self._page.write(self._replica, page_text(self._registry))
            self._silent = self._page.silent_replicas()
        except Exception as error:
            problem = in_words(error)
        if problem and problem != self._told:
            logger.error("metrics_not_told", f"the metrics of this replica are not told: {problem}", why=problem)
        self._told = problem


SilentReplicas = Callable[[], Sequence[str]]
"""Names the replicas on this node that have told no metrics recently."""


def publish_metrics(registry: CollectorRegistry, settings: MetricsSettings) -> SilentReplicas:
    """Publish the metrics of the replica that this process is, unless ``settings`` have no port.

    Nor are they published where this node's Ray was started without a folder for them; the log says so.
    """
    if settings.port is None:
        return tuple
    folder = os.environ.get(METRICS_FOLDER_ENV)
    if folder is None:
        logger.error(
            "metrics_not_served",
            f"no metrics are served, since {METRICS_FOLDER_ENV} is not set: start Ray with what `python -m "
            "deployments.cluster_environment` prints, or set metrics.port to null",
            why=f"{METRICS_FOLDER_ENV} is not set",
        )
        return tuple
    try:
        return ReplicaMetrics(registry, settings.host, settings.port, Path(folder), replica_name()).silent_replicas
    except OSError as error:
        why = in_words(error)
        logger.error("metrics_not_served", f"no metrics are served: {why}", why=why)
        return tuple


def publish_stage(settings: MetricsSettings | None, watch: Callable[[CollectorRegistry], None]) -> None:
    """Publish the stage times of this replica, and what ``watch`` adds to them; nothing without ``settings``."""
    if settings is None or settings.port is None:
        return
    registry = CollectorRegistry()
    StageTimes(registry)
    watch(registry)
    publish_metrics(registry, settings)


def replica_name() -> str:
    """Its deployment, and Serve's id of it."""
    from ray import serve

    context = serve.get_replica_context()
    return f"{context.deployment}-{context.replica_tag}"
