"""The two requests of fedi-safety's workers, as pictrs-safety answers them: a picture, please; and what it is."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, StrictBool, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serve_app.domain import UnauthorisedError
from serve_app.http.strangers import Strangers
from serve_app.logs import EventLogger
from serve_app.remote.popped import PoppedAnswer, PoppedJobs
from serve_app.wire import POP_PATH

logger = EventLogger(__name__)

_MOST_BYTES = 4096

OwnerOf = Callable[[str | None], str]
"""The owner of the secret in a header ``Authorization``; raises UnauthorisedError."""


class _Said(BaseModel):
    image: str
    is_csam: StrictBool
    is_nsfw: StrictBool


def pop_routes(owner_of: OwnerOf, jobs: PoppedJobs, strangers: Strangers) -> list[Route]:
    """The two routes. A worker's secret stands in the header ``apikey``."""

    def owner(request: Request) -> str | None:
        apikey = request.headers.get("apikey")
        try:
            return owner_of(f"Bearer {apikey}" if apikey else None)
        except UnauthorisedError:
            if strangers.has_line():
                logger.info(
                    "worker_unauthorised", "a worker of fedi-safety was refused: its apikey is no secret of one"
                )
            return None

    async def hand_out(request: Request) -> Response:
        name = owner(request)
        if name is None:
            return _message(403, "the secret of a worker is needed, in the header apikey")
        job = jobs.pop(f"{name}/fedi-safety")
        if job is None:
            return Response(status_code=204)
        # The worker takes everything behind the first = for the name.
        named = {"Content-Disposition": f"attachment; filename={job.name}"}
        return Response(job.content, media_type=job.media_type, headers=named)

    async def take(request: Request) -> Response:
        name = owner(request)
        if name is None:
            return _message(403, "the secret of a worker is needed, in the header apikey")
        try:
            said = _Said.model_validate_json(await _bounded(request))
        except (ValidationError, ClientDisconnect):
            return _message(400, "send image, is_csam and is_nsfw as JSON")
        answer = PoppedAnswer(said.is_csam, said.is_nsfw, f"{name}/fedi-safety")
        if not jobs.answered(said.image, answer):
            return _message(404, "nobody waits for this picture: it was answered for, or its time is over")
        return _message(201, "OK")

    return [Route(POP_PATH, hand_out, methods=["GET"]), Route(POP_PATH, take, methods=["POST"])]


async def _bounded(request: Request) -> bytes:
    """The body; of one that is too long, its beginning, which is no JSON."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MOST_BYTES:
            return content[:_MOST_BYTES]
    return content


def _message(status: int, text: str) -> Response:
    return JSONResponse({"message": text}, status)
