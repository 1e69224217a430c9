"""Bodies about workers elsewhere."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from serve_app.domain.workers import StandingIn, WorkerState


class WorkerRecord(BaseModel):
    """A worker elsewhere that is connected."""

    name: str = Field(description="OWNER/NAME, as in its decisions")
    owner: str = Field(description="the name of its secret")
    state: WorkerState = Field(description="pictures go to those that are trusted alone")
    device: str = Field(description="as it says itself, like its version and its models")
    version: str
    models: list[str] = Field(description="name and digest of each")
    since: datetime
    pictures: int = Field(description="scored since then")
    in_flight: int
    view_ms: float = Field(description="of its device, as measured")
    round_trip_ms: float


class Workers(BaseModel):
    """The workers that are connected, in the order in which they joined."""

    workers: list[WorkerRecord]
    absent_since: datetime | None = Field(description="set while none of them gets pictures")
    standing_in: StandingIn = Field(description="who scans uploads then")
