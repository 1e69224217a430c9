"""What the contracts of examining share: the parts of the stages, pictures and calls."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from PIL import Image
from ray.exceptions import RayTaskError

from deployments.clip_scorer import ClipScorer
from serve_app.composition.scoring import EngineScorers
from serve_app.domain import Call, Deadline, Lane, OnTruncated, PictwardenError
from serve_app.media import MediaLimits
from serve_app.models.agreement import PolicyReference
from serve_app.settings import LogSettings, ModelSettings

LABELS = ("a red view", "a green view")
OTHER_LABELS = ("a blue view", "a green view", "a red view")
LIMITS = MediaLimits(max_pixels=10_000)
DEADLINE_S = 8.0
ON_TRUNCATED = dict.fromkeys(Lane, OnTruncated.REFUSE)
_POLICY = PolicyReference("colours.yaml", "0" * 64)

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


class _Response:
    """Of a call to a replica: awaitable, and cancelled when nobody wants it any more."""

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._task = asyncio.ensure_future(work)

    def __await__(self) -> Any:
        return self._value().__await__()

    async def _value(self) -> Any:
        try:
            return await self._task
        except PictwardenError as error:
            # As Ray hands an error over: an instance of both RayTaskError and the error's own class.
            raise RayTaskError("a method", "the traceback of the replica", error).as_instanceof_cause() from None

    def cancel(self) -> None:
        self._task.cancel()


class _Method:
    def __init__(self, method: Any) -> None:
        self._method = method

    def remote(self, *arguments: Any) -> _Response:
        return _Response(self._method(*arguments))


class LocalHandle:
    """A Serve handle to a replica that lives in this process."""

    def __init__(self, replica: Any) -> None:
        self._replica = replica

    def __getattr__(self, name: str) -> _Method:
        return _Method(getattr(self._replica, name))


@dataclass(frozen=True)
class Warm:
    """The stages of one process as :class:`serve_app.composition.local_stages.Stages` has them."""

    workers: Any
    scorers: EngineScorers


def engine_scorers() -> EngineScorers:
    return EngineScorers(ModelSettings(source="fake"), [LABELS, OTHER_LABELS], _POLICY, DEADLINE_S)


def scorer_replica() -> ClipScorer:
    return ClipScorer(ModelSettings(source="fake"), [LABELS, OTHER_LABELS], _POLICY, DEADLINE_S, LogSettings())


def call(remaining_s: float = DEADLINE_S, lane: Lane = Lane.LIVE) -> Call:
    return Call("r-1", Deadline.after(remaining_s), lane)


def drawn(colour: tuple[int, int, int] = RED, size: tuple[int, int] = (40, 40)) -> bytes:
    """A PNG of one colour."""
    body = io.BytesIO()
    Image.new("RGB", size, colour).save(body, "PNG")
    return body.getvalue()
