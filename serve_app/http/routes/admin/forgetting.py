"""Decisions are forgotten: in the background, since much of it takes minutes, and one admin's wish at a time."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, HTTPException, Request

from serve_app.admin_api import ForgetAnswer, ForgetRequest
from serve_app.domain import DecisionArchive, Erased, ForgetScope

ANSWER_WITHIN_S = 10.0
"""Seconds that an answer waits for the end of it."""


def router(archive: DecisionArchive) -> APIRouter:
    """Routes that erase, and tell how much is erased."""
    routes = APIRouter(tags=["decisions"])
    forgetting = _Forgetting(archive)

    @routes.post("/forget", summary="Erase decisions, label scores and fingerprints: begin with it")
    async def begin(wanted: ForgetRequest, request: Request) -> ForgetAnswer:
        forgetting.begin(ForgetScope(wanted.sha256, wanted.source, wanted.before), request.state.actor)
        return await forgetting.answer()

    @routes.get("/forget", summary="How much the latest `POST /forget` has erased; answers at its end, or in 10 s")
    async def wait() -> ForgetAnswer:
        return await forgetting.answer()

    return routes


class _Forgetting:
    """The latest wish of this process. For one event loop."""

    def __init__(self, archive: DecisionArchive) -> None:
        self._archive = archive
        self._task: asyncio.Task[Erased] | None = None
        self._so_far = Erased()

    def begin(self, scope: ForgetScope, actor: str) -> None:
        """Begin to erase.

        Raises:
            HTTPException: an earlier wish is not done.
        """
        if self._task is not None and not self._task.done():
            raise HTTPException(
                409, f"an earlier `forget` is not done ({self._so_far.decisions} decisions so far): try again later"
            )
        self._so_far = Erased()
        self._task = asyncio.create_task(self._archive.forget(scope, actor, self._note), name="forget")

    async def answer(self) -> ForgetAnswer:
        """How much is erased, once all is, or after a while.

        Raises:
            HTTPException: nothing was to be forgotten since this process started.
            Exception: why it was not done.
        """
        if self._task is None:
            raise HTTPException(404, "nothing was forgotten since the service started: give the command again")
        done, _ = await asyncio.wait([self._task], timeout=ANSWER_WITHIN_S)
        erased = self._task.result() if done else self._so_far
        return ForgetAnswer(
            decisions=erased.decisions,
            label_scores=erased.label_scores,
            fingerprints=erased.fingerprints,
            done=bool(done),
        )

    def _note(self, erased: Erased) -> None:
        self._so_far = erased
