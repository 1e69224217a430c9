"""Examining as two stages, one after the other: preprocess, then score.

The front calls both: a chain in which the preprocessor calls the scorer costs more on Ray Serve (``docs/adr/0001``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from serve_app.domain import (
    Body,
    Call,
    Deadline,
    DeadlineExceededError,
    Examination,
    Lane,
    LoadSignals,
    ModelIdentity,
    Preprocessor,
    Scorer,
    UnavailableError,
    UnscannedError,
    Views,
)
from serve_app.moderation.shared_call import AbandonedError, SharedCall
from serve_app.moderation.time_limit import until
from serve_app.stages import Stage, timed


class Elsewhere(Protocol):
    """Workers that take bodies, and do both stages."""

    @property
    def is_there(self) -> bool:
        """Whether any may be given pictures."""
        ...

    async def examine(self, body: Body, call: Call) -> Examination:
        """See :class:`serve_app.domain.Examiner`; it leaves time for both stages here."""
        ...


class Pipeline:
    """:class:`serve_app.domain.Examiner` over a preprocessor and a scorer. For one event loop."""

    def __init__(
        self,
        preprocessor: Preprocessor,
        scorer: Scorer,
        demand: Callable[[], float] = lambda: 1.0,
        *,
        with_faces: bool = False,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """Over two stages, which several pipelines may share.

        Args:
            preprocessor: cuts the views.
            scorer: gives them their scores.
            demand: gives the current one, as in :class:`serve_app.domain.LoadSignals`.
            with_faces: whether the scorer looks at faces.
            elsewhere: is asked first, while it is there.
        """
        self._preprocessor = preprocessor
        self._scorer = scorer
        self._demand = demand
        self._with_faces = with_faces
        self._elsewhere = elsewhere
        self._coming = 0
        self._model: ModelIdentity | None = None
        self._identifying: SharedCall[ModelIdentity] | None = None

    @property
    def model(self) -> ModelIdentity | None:
        """See the port."""
        return self._model

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        """See the port. Callers at the same time share one call to the scorer."""
        async with until(deadline, "the scorer"):
            while True:
                asked = self._identifying
                is_own = asked is None or not asked.is_running
                if asked is None or is_own:
                    asked = self._identifying = SharedCall(self._scorer.identify(deadline))
                try:
                    self._model = await asked.result()
                except AbandonedError:
                    continue
                except DeadlineExceededError:
                    if is_own:
                        raise
                    continue  # it was the deadline of another caller
                return self._model

    async def examine(self, body: Body, call: Call) -> Examination:
        """See the port."""
        if self._elsewhere is not None and self._elsewhere.is_there:
            try:
                with timed(Stage.SCORE, call):
                    examination = await self._elsewhere.examine(body, call)
            except UnscannedError:
                # What can never be scanned, this side says itself: nobody checks a refusal of theirs.
                call.deadline.require("decoding")
            else:
                self._model = examination.scores.model
                return examination
        model = self._model or await self.identify(call.deadline)
        clock = call.deadline.clock
        began_s = clock()
        with timed(Stage.PREPROCESS, call):
            views = await self._preprocess(body, model.image_size_px, call)
        preprocessed_s = clock()
        try:
            with timed(Stage.SCORE, call):
                scores = await self._scorer.score(views, call, self._load())
        except UnavailableError:
            # The next scorer may hold another model.
            self._model = None
            raise
        self._model = scores.model
        return Examination.of(views, scores, (preprocessed_s - began_s) * 1e3, (clock() - preprocessed_s) * 1e3)

    async def _preprocess(self, body: Body, view_size_px: int, call: Call) -> Views:
        is_live = call.lane is Lane.LIVE
        load = self._load()
        self._coming += is_live
        try:
            return await self._preprocessor.preprocess(body.content, view_size_px, call, load, self._with_faces)
        finally:
            self._coming -= is_live

    def _load(self) -> LoadSignals:
        return LoadSignals(self._demand(), self._coming)
