"""The probes of an operator: does the process answer, and can it scan?"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Response

from serve_app.domain import (
    ConfigurationError,
    Deadline,
    DeadlineExceededError,
    LedgerHealth,
    NotScannedError,
    NoWorkerError,
    OnUnscanned,
)
from serve_app.domain.lists import ListsHealth
from serve_app.http.answers import json_response
from serve_app.http.arrival import Arrival
from serve_app.http.guard import Guard
from serve_app.logs import EventLogger, of_request
from serve_app.metrics import FrontMetrics
from serve_app.moderation import Moderator
from serve_app.settings import Settings
from serve_app.wire import HEALTH_PATH, READY_PATH, Answer, bare_answer

logger = EventLogger(__name__)

# Shorter than the second that load balancers commonly give a probe.
_READY_WAIT_S = 0.8
_STAND_IN_WAIT_S = 0.1

STALE_AFTER_S = 10.0
"""What should be a second old at most is told from this age on."""


def router(moderator: Moderator, guard: Guard, settings: Settings, metrics: FrontMetrics | None = None) -> APIRouter:
    """The paths of the two probes, which need no secret.

    ``guard`` knows which files of secrets cannot be used; ``metrics`` know which replicas have told none recently.
    """
    routes = APIRouter()

    @routes.get(HEALTH_PATH, summary="The process answers")
    async def healthz() -> Response:
        return Response("ok\n", media_type="text/plain")

    @routes.get(READY_PATH, summary="Uploads are answered", response_model=Answer, responses={503: {"model": Answer}})
    async def readyz() -> Response:
        arrival = Arrival.now(_READY_WAIT_S)
        of_request(arrival.request_id)
        try:
            identity = await moderator.ready(arrival.deadline)
        except NotScannedError as error:
            status, answer = await without_models(error, arrival)
        except ConfigurationError:
            logger.exception("model_not_of_policy", "the model does not fit the policy")
            message = "the loaded model is not the one of the policy: see the log"
            status, answer = 503, bare_answer("unavailable", message, arrival.request_id, arrival.elapsed_ms)
        else:
            silent = metrics.silent_replicas() if metrics is not None else ()
            message = _ready_message(moderator.ledger_health, moderator.lists_health, guard.unusable, silent)
            ready = bare_answer("ready", message, arrival.request_id, arrival.elapsed_ms)
            told = {"model": str(identity), "policy": str(moderator.policy), "notice": identity.notice}
            status, answer = 200, ready.model_copy(update=told)
        return json_response(status, answer, settings.retry_after_s)

    async def without_models(error: NotScannedError, arrival: Arrival) -> tuple[int, Answer]:
        """Ready all the same where uploads are answered as configured: another front would answer no better."""
        told = None
        if (standing_in := await moderator.standing_in(Deadline.after(_STAND_IN_WAIT_S))) is not None:
            policy, identity = standing_in
            message = f"{error}: the policy {policy.name} looks at uploads meanwhile"
            told = {"model": str(identity), "policy": str(policy), "notice": identity.notice}
        elif _is_without_workers(error, settings) and settings.on_unscanned is OnUnscanned.ACCEPT:
            message = f"{error}: pictures are stored unscanned, and scanned once a worker is back"
            told = {"policy": str(moderator.policy)}
        if told is None:
            return 503, bare_answer("unavailable", str(error), arrival.request_id, arrival.elapsed_ms)
        return 200, bare_answer("ready", message, arrival.request_id, arrival.elapsed_ms).model_copy(update=told)

    return routes


def _is_without_workers(error: NotScannedError, settings: Settings) -> bool:
    """Whether no worker is there, or all are on trial or silent."""
    is_waiting = settings.remote is not None and isinstance(error, DeadlineExceededError)
    return is_waiting or isinstance(error, NoWorkerError)


def _ready_message(
    ledger: LedgerHealth, lists: ListsHealth, unusable_secrets: Sequence[str], silent: Sequence[str]
) -> str:
    """A ledger that cannot be written makes nobody unready: pictures are answered, and their decisions wait.

    Nor do lists or secrets that cannot be read: the latest known ones go on. Nor do replicas that have told no metrics
    recently.
    """
    message = "a scorer is warm"
    if ledger.problem is not None:
        message += f", but the ledger {ledger.problem}: {ledger.spooled} decisions wait in its spool"
    if ledger.lag_s > STALE_AFTER_S:
        message += f"; the spool was last empty {ledger.lag_s:.0f} s ago"
    if ledger.dropped:
        message += f"; {ledger.dropped} decisions were not recorded in time since the start"
    if lists.problem is not None:
        message += f"; the lists {lists.problem}"
    if lists.age_s > STALE_AFTER_S:
        message += f"; the lists were last read {lists.age_s:.0f} s ago"
    if unusable_secrets:
        message += f"; the former secrets count, since {', '.join(unusable_secrets)} cannot be used: see the log"
    if silent:
        message += f"; no metrics recently from {', '.join(silent)}"
    return message
