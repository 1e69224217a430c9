"""Serve's deployment handles as the domain's ports. Ray's errors become ours here, and nowhere else.

The one retry lives here too. When a replica dies, Serve returns the requests that it had accepted to their callers:
`ActorDiedError` on the default transport, `ActorUnavailableError` over gRPC. Looking at a picture twice is harmless,
so a lost call is made once more, on another replica, while the deadline allows.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from deployments.transfer_gate import TransferGate
from serve_app.domain import (
    Deadline,
    DeadlineExceededError,
    LabelScores,
    Lane,
    ModelIdentity,
    OverloadedError,
    PictwardenError,
    UnavailableError,
    Views,
)
from serve_app.moderation import AdmissionControl

logger = logging.getLogger(__name__)

_ATTEMPTS = 2


class PreprocessorHandle:
    """:class:`serve_app.domain.Preprocessor` behind a deployment handle."""

    def __init__(self, handle: DeploymentHandle[Any], admission: AdmissionControl, gate: TransferGate) -> None:
        """``admission`` tells the replicas how much more is asked of them than they see; ``gate`` holds bodies back."""
        self._handle = handle
        self._admission = admission
        self._gate = gate
        self._live_inside = 0

    @property
    def live_inside(self) -> int:
        """Live pictures that are being preprocessed: the scorers will have them next."""
        return self._live_inside

    async def preprocess(self, body: bytes, view_size_px: int, deadline: Deadline, lane: Lane = Lane.LIVE) -> Views:
        """See the port."""
        is_live = lane is Lane.LIVE
        async with self._gate.through(len(body), lane):
            self._live_inside += is_live
            try:
                views: Views = await _call(
                    self._handle.preprocess, "preprocessing", deadline, body, view_size_px, lane, self._admission.demand
                )
            finally:
                self._live_inside -= is_live
        return views


class ScorerHandle:
    """:class:`serve_app.domain.Scorer` behind a deployment handle."""

    def __init__(
        self, handle: DeploymentHandle[Any], admission: AdmissionControl, preprocessor: PreprocessorHandle
    ) -> None:
        """``admission`` tells the replicas how much more is asked than they see; ``preprocessor``, what comes."""
        self._handle = handle
        self._admission = admission
        self._preprocessor = preprocessor

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        """See the port."""
        identity: ModelIdentity = await _call(self._handle.identify, "the scorer", deadline, pass_remaining=False)
        return identity

    async def score(self, views: Views, deadline: Deadline, lane: Lane = Lane.LIVE) -> LabelScores:
        """See the port."""
        demand, coming = self._admission.demand, self._preprocessor.live_inside
        scores: LabelScores = await _call(self._handle.score, "scoring", deadline, views.pixels, lane, demand, coming)
        return scores


async def _call(method: Any, stage: str, deadline: Deadline, *args: Any, pass_remaining: bool = True) -> Any:
    """Call a replica's method, with the seconds that are left as its last argument.

    Raises:
        PictwardenError: only these; whatever Ray raises has become one.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        remaining_s = deadline.require(stage)
        response = method.remote(*args, remaining_s) if pass_remaining else method.remote(*args)
        try:
            return await _within(response, remaining_s, stage)
        except RayActorError as error:
            logger.warning("%s: a replica was lost (%s), attempt %d", stage, type(error).__name__, attempt)
            lost = error
        except BackPressureError as error:
            raise OverloadedError(f"{stage}: the queue is full") from error
        except PictwardenError as error:
            # Out of a replica it comes as a RayTaskError that is also ours, with the replica's traceback in its text.
            raise error.cause if isinstance(error, RayTaskError) else error from None
        except DeploymentUnavailableError as error:
            raise UnavailableError(f"{stage} is not there: it failed to start") from error
        except (RayError, RayServeException, TimeoutError) as error:
            logger.exception("%s failed", stage)
            raise UnavailableError(f"{stage} failed") from error
    raise UnavailableError(f"{stage}: {_ATTEMPTS} replicas were lost with this request") from lost


async def _within(response: DeploymentResponse[Any], remaining_s: float, stage: str) -> Any:
    """The response's value; a response that is no longer wanted is cancelled, so that its replica can drop the work.

    Raises:
        DeadlineExceededError: ``remaining_s`` is over. A time-out of the replica's own is an error as any other.
    """
    try:
        async with asyncio.timeout(remaining_s) as limit:
            return await response
    except TimeoutError as error:
        if not limit.expired():
            raise
        response.cancel()  # type: ignore[no-untyped-call]
        raise DeadlineExceededError(f"{stage} took longer than the {remaining_s:.1f} s that were left") from error
    except asyncio.CancelledError:
        response.cancel()  # type: ignore[no-untyped-call]
        raise
