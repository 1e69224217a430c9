"""Workers elsewhere that are connected to the service."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request

from serve_app.admin_api import WorkerRecord, Workers
from serve_app.domain import SettingsError
from serve_app.domain.workers import ConnectedWorker, WorkersView

_NONE_HERE = (
    "this service has no workers: its models compute in the service itself. Start it with `pictwarden serve --scorers "
    "remote` to have workers connect"
)

WorkerInPath = Annotated[str, Path(alias="worker", description="OWNER/NAME, as in its decisions")]


def router(view: WorkersView | None) -> APIRouter:
    """Routes over the workers; without a view of them, the service has none."""
    routes = APIRouter(tags=["workers"])

    def known() -> WorkersView:
        if view is None:
            raise SettingsError(_NONE_HERE)
        return view

    @routes.get("/workers", summary="The workers that are connected, and whether they score")
    async def workers() -> Workers:
        health = await known().health()
        return Workers(
            workers=[_record_of(each) for each in await known().connected()],
            absent_since=health.absent_since,
            standing_in=health.standing_in,
        )

    @routes.delete("/workers/{worker:path}", summary="End the connection of a worker, which ends by itself then")
    async def dismiss(name: WorkerInPath, request: Request) -> WorkerRecord:
        found = next((each for each in await known().connected() if each.name == name), None)
        if found is None or not await known().dismiss(name, request.state.actor):
            raise HTTPException(404, f"no worker {name} is connected: `pictwarden workers` lists those that are")
        return _record_of(found)

    return routes


def _record_of(worker: ConnectedWorker) -> WorkerRecord:
    return WorkerRecord(
        name=worker.name,
        owner=worker.owner,
        state=worker.state,
        device=worker.device,
        version=worker.version,
        models=list(worker.models),
        since=worker.since,
        pictures=worker.pictures,
        in_flight=worker.in_flight,
        view_ms=round(worker.view_ms, 3),
        round_trip_ms=round(worker.round_trip_ms, 1),
    )
