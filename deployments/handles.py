"""Serve's deployment handles as the domain's ports. Only this module turns Ray's errors into ours.

The only retries are here too. When a replica dies, its callers get `ActorDiedError` on the default transport and
`ActorUnavailableError` over gRPC. Scanning a picture twice is harmless, so that a lost call is made once more, on
another replica, if the deadline allows. While a new version replaces an old one, scorers of both answer: a call that
one of the other version refuses is made again, until one of its own answers (docs/adr/0025).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from deployments.transfer_gate import TransferGate
from serve_app.domain import (
    Call,
    Deadline,
    DeadlineExceededError,
    LabelScores,
    LoadSignals,
    ModelIdentity,
    NotScannedError,
    OtherVersionError,
    OverloadedError,
    PictwardenError,
    UnavailableError,
    Views,
)
from serve_app.domain.workers import ConnectedWorker, WorkersHealth
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

_ATTEMPTS = 2

# Serve draws the replica that it asks, and knows nothing of versions. With one scorer in ten of the right version, one
# call in a thousand finds none in this time.
_OTHER_VERSION_S = 3.0
_OTHER_VERSION_PAUSE_S = 0.05
# Lines then name the request on whose behalf the scorer is asked, if there is one.
_OF_NO_PICTURE = ""

_ANSWER_WITHIN_S = 5.0
"""About workers, for an admin or a notice."""


class PreprocessorHandle:
    """:class:`serve_app.domain.Preprocessor` behind a deployment handle."""

    def __init__(self, handle: DeploymentHandle[Any], gate: TransferGate) -> None:
        """``gate`` limits the bodies on their way."""
        self._handle = handle
        self._gate = gate

    async def preprocess(
        self, content: bytes, view_size_px: int, call: Call, load: LoadSignals, with_faces: bool = False
    ) -> Views:
        """See the port."""
        async with self._gate.through(len(content), call):
            views: Views = await _called(
                self._handle.preprocess, "preprocessing", call, content, view_size_px, call, load, with_faces
            )
        return views


class ScorerHandle:
    """:class:`serve_app.domain.Scorer` behind a deployment handle."""

    def __init__(self, handle: DeploymentHandle[Any], labels: tuple[str, ...]) -> None:
        """``labels`` are one of the sets that the deployment scores."""
        self._handle = handle
        self._labels = labels

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        """See the port."""
        identity: ModelIdentity = await _called(
            self._handle.identify, "the scorer", Call(_OF_NO_PICTURE, deadline), self._labels
        )
        return identity

    async def score(self, views: Views, call: Call, load: LoadSignals) -> LabelScores:
        """See the port. Of the views only their pixels are sent."""
        scores: LabelScores = await _called(
            self._handle.score, "scoring", call, self._labels, views.pixels, views.faces.pixels, call, load
        )
        return scores


class WorkersHandle:
    """:class:`serve_app.domain.workers.WorkersView` behind the handle of the deployment that workers connect to."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    async def connected(self) -> Sequence[ConnectedWorker]:
        """See the port."""
        found: Sequence[ConnectedWorker] = await self._asked(self._handle.connected_workers)
        return found

    async def health(self) -> WorkersHealth:
        """See the port."""
        found: WorkersHealth = await self._asked(self._handle.workers_health)
        return found

    async def dismiss(self, name: str, actor: str) -> bool:
        """See the port."""
        is_gone: bool = await self._asked(self._handle.dismiss_worker, name, actor)
        return is_gone

    async def back_at(self) -> datetime | None:
        """When the first worker came, after none was there; None while none has come.

        Raises:
            UnavailableError: the replica does not answer.
        """
        found: datetime | None = await self._asked(self._handle.workers_back_at)
        return found

    @staticmethod
    async def _asked(method: Any, *args: Any) -> Any:
        try:
            return await _called(
                method, "asking about workers", Call(_OF_NO_PICTURE, Deadline.after(_ANSWER_WITHIN_S)), *args
            )
        except NotScannedError as error:
            raise UnavailableError(f"the replica that workers connect to does not answer: {error}") from error


async def _called(method: Any, stage: str, call: Call, *args: Any) -> Any:
    """The result of a replica's method, within the time of ``call``.

    Raises:
        PictwardenError: no other error; Ray's errors become one of these.
    """
    attempt = 0
    give_up_s = call.deadline.clock() + _OTHER_VERSION_S
    while True:
        remaining_s = call.deadline.require(stage)
        try:
            return await _within(method.remote(*args), remaining_s, stage)
        except RayActorError as error:
            attempt += 1
            why = "it cannot be reached" if isinstance(error, ActorUnavailableError) else "it died"
            logger.warning(
                "replica_lost",
                f"{stage}: a replica was lost ({why}), attempt {attempt}",
                request_id=call.request_id,
                stage=stage,
                why=why,
                attempt=attempt,
            )
            if attempt == _ATTEMPTS:
                raise UnavailableError(f"{stage} failed: {_ATTEMPTS} replicas died with this request") from error
        except BackPressureError as error:
            raise OverloadedError(f"the queue for {stage} is full") from error
        except PictwardenError as error:
            if not isinstance(error, OtherVersionError) or call.deadline.clock() > give_up_s:
                # From a replica it comes as a RayTaskError that is also ours, with the replica's traceback in its text.
                raise error.cause if isinstance(error, RayTaskError) else error from None
            await asyncio.sleep(_OTHER_VERSION_PAUSE_S)
        except DeploymentUnavailableError as error:
            raise UnavailableError(f"{stage} is unavailable: it failed to start") from error
        except (RayError, RayServeException, TimeoutError) as error:
            logger.exception("stage_failed", f"{stage} failed", request_id=call.request_id, stage=stage)
            raise UnavailableError(f"{stage} failed") from error


async def _within(response: DeploymentResponse[Any], remaining_s: float, stage: str) -> Any:
    """The response's value; a response that nobody waits for is cancelled, so that its replica drops the work.

    Raises:
        DeadlineExceededError: ``remaining_s`` is over. A time-out within the replica is an error like any other.
    """
    try:
        async with asyncio.timeout(remaining_s) as limit:
            return await response
    except TimeoutError as error:
        if not limit.expired():
            raise
        response.cancel()  # type: ignore[no-untyped-call]
        raise DeadlineExceededError(f"{stage} took longer than the {remaining_s:.1f} s left") from error
    except asyncio.CancelledError:
        response.cancel()  # type: ignore[no-untyped-call]
        raise
