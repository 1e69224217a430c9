"""The front deployment: an HTTP request in, a decision out. It has no model and decodes nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.handles import PreprocessorHandle, ScorerHandle, WorkersHandle
from deployments.ledger_file import require_one_file_in_cluster, require_shared
from deployments.ray_environment import is_behind_haproxy
from deployments.replica_metrics import publish_metrics
from deployments.replica_process import set_up_replica
from deployments.transfer_gate import TransferGate
from deployments.workers_return import watch_for_return
from serve_app.composition.own_work import own_work
from serve_app.database.location import Location
from serve_app.domain import Deadline, OtherVersionError, Scorer, UnscannedError, needs_faces
from serve_app.domain.limits import MediaLimits
from serve_app.host.process import return_large_memory
from serve_app.http import create_app
from serve_app.http.admin import create_admin_app
from serve_app.http.admin_listener import admin_listening
from serve_app.http.body_before_answer import BodyBeforeAnswer
from serve_app.http.guard import Guard
from serve_app.ledger import OpenLedger, open_ledger
from serve_app.lists.opening import open_lists
from serve_app.metrics import FrontMetrics
from serve_app.moderation import Pipeline, admission_of, assemble_detector, assemble_moderator, label_sets
from serve_app.policy import Policies
from serve_app.settings import Settings

# A quarter of the bytes of all bodies may be on their way to preprocessors: by default three bodies of 40 MB.
_TRAVELLING_SHARE = 4

# For one question to the scorers at the start; it is asked again while those of another version answer.
_ASK_SCORERS_S = 5.0


class Ingress:
    """Wires the application to the two other deployments."""

    def __init__(
        self,
        settings: Settings,
        policies: Policies,
        preprocessor: DeploymentHandle[Any],
        scorer: DeploymentHandle[Any],
        location: Location | None,
    ) -> None:
        """Open the ledger and the lists, which are at ``location``."""
        set_up_replica("ingress", settings.log)
        return_large_memory()
        self._settings = settings
        self._guard = Guard.from_environment(settings.authentication, sources=settings.sources)
        gate = TransferGate(settings.limits.max_inside_bytes // _TRAVELLING_SHARE)
        admission = admission_of(settings)
        stage = PreprocessorHandle(preprocessor, gate)

        def examiner_of(labels: tuple[str, ...]) -> Pipeline:
            of_labels = ScorerHandle(scorer, labels)
            with_faces = any(map(needs_faces, labels))
            return Pipeline(stage, of_labels, lambda: admission.demand, with_faces=with_faces)

        self._metrics = FrontMetrics() if settings.metrics.port is not None else None
        self._ledger, self._lists = self._open_ledger(location, settings.limits), open_lists(location)
        self._lists.start()
        self._moderator = assemble_moderator(
            *(settings, policies, examiner_of, self._ledger, admission, self._lists),
            # Asked at each picture: the number may change, and the replicas that stay are told.
            replicas=lambda: serve.get_replica_context().world_size,
            metrics=self._metrics,
        )
        self._detector = assemble_detector(settings, examiner_of, admission)
        self._workers = WorkersHandle(scorer) if settings.remote is not None else None
        self._scorers = [ScorerHandle(scorer, labels) for labels in label_sets(settings, policies)]
        if self._metrics is not None:
            self._metrics.silent_replicas = publish_metrics(self._metrics.registry, settings.metrics)

    @staticmethod
    def _open_ledger(location: Location | None, limits: MediaLimits) -> OpenLedger:
        require_shared(location, serve.get_replica_context().world_size)
        ledger = open_ledger(location, limits)
        require_one_file_in_cluster(location)
        return ledger

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Called by Serve on each replica, after the constructor."""
        app = create_app(
            *(self._moderator, self._guard, self._settings, self._beside, self._detector, self._metrics),
            has_front_end=is_behind_haproxy(),
        )
        app.add_middleware(BodyBeforeAnswer, deadline_s=self._settings.deadline_s)
        return app

    @contextlib.asynccontextmanager
    async def _beside(self, _app: FastAPI) -> AsyncIterator[None]:
        for scorer in self._scorers:
            await until_of_this_version(scorer)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._ledger.close)
            stack.callback(self._lists.close)
            if self._metrics is not None:
                await stack.enter_async_context(self._metrics.watching(self._ledger))
            if self._guard.has_admins:
                admin = self._settings.admin
                app = create_admin_app(
                    *(self._guard, self._ledger, self._lists.store, self._settings, self._moderator.moderate),
                    self._workers,
                )
                await stack.enter_async_context(admin_listening(app, admin.host, admin.port))
            came_back = asyncio.Event()
            if self._workers is not None:
                watching = asyncio.create_task(
                    watch_for_return(self._workers.back_at, came_back), name="workers' return"
                )
                stack.callback(watching.cancel)
            await stack.enter_async_context(
                own_work(self._settings, self._moderator, self._ledger, self._lists, self._workers, came_back)
            )
            yield


async def until_of_this_version(scorer: Scorer) -> None:
    """Wait while all scorers that answer are of another version: an ingress replica is ready only when they change.

    Serve stops the replicas of the version before as soon as this one is ready. Where no scorer answers at all, since
    they start or died, this returns: an ingress replica says so itself.
    """
    while True:
        try:
            await scorer.identify(Deadline.after(_ASK_SCORERS_S))
        except OtherVersionError:
            continue
        except UnscannedError:
            return
        return
