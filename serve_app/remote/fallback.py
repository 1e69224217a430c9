"""What scores while no worker is there: an engine of the service's own, of the same model; or nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from serve_app.domain import (
    Call,
    Clock,
    Deadline,
    DeadlineExceededError,
    LabelScores,
    Lane,
    LoadSignals,
    ModelIdentity,
    NoWorkerError,
    Scorer,
    UnavailableError,
    Views,
)

TRIED_EVERY_S: Final = 60.0
"""Seconds after which a picture is tried that should take too long: passes are fast again only if one shows it."""


class LocalScorer(Scorer, Protocol):
    """A scorer in this process, which knows how fast it is."""

    @property
    def view_s(self) -> float:
        """Seconds of the device for a view, in its largest pass."""
        ...


class Scorers(Protocol):
    """The scorers for several sets of labels."""

    def of(self, labels: tuple[str, ...]) -> Scorer:
        """The scorer for one of the sets."""
        ...

    def require_alive(self) -> None:
        """For a health check."""
        ...

    async def close(self) -> None:
        """Stop."""
        ...


class LocalScorers(Scorers, Protocol):
    """Those of this process; :class:`serve_app.composition.scoring.EngineScorers` are."""

    def of(self, labels: tuple[str, ...]) -> LocalScorer:
        """See :class:`Scorers`."""
        ...


class WithFallback:
    """:class:`serve_app.domain.Scorer`: the workers, and while none is there ``local``.

    A picture that the workers failed on goes to ``local`` too, in the time that is left.
    """

    def __init__(
        self,
        fleet: Scorer,
        is_anybody_there: Callable[[], bool],
        local: LocalScorer | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Without ``local``, pictures are refused at once while nobody is there."""
        self._fleet = fleet
        self._is_anybody_there = is_anybody_there
        self._local = local
        self._clock = clock
        self._tried_s = clock()

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        """See the port. Nobody waits for a worker that may come."""
        if self._is_anybody_there():
            try:
                return await self._fleet.identify(deadline)
            except UnavailableError:
                if self._local is None:
                    raise
        return await self._own().identify(deadline)

    async def score(self, views: Views, call: Call, load: LoadSignals) -> LabelScores:
        """See the port."""
        if self._is_anybody_there():
            try:
                return await self._fleet.score(views, call, load)
            except UnavailableError:
                if self._local is None:
                    raise
        local = self._own()
        self._require_time(local, views, call)
        return await local.score(views, call, load)

    def _own(self) -> LocalScorer:
        if self._local is None:
            raise NoWorkerError("no worker is connected")
        return self._local

    def _require_time(self, local: LocalScorer, views: Views, call: Call) -> None:
        """Refuse at once what a slow CPU cannot finish: it would only keep it from pictures that it can.

        Raises:
            DeadlineExceededError: it takes longer than the time that is left.
            UnavailableError: so does a stored picture.
        """
        remaining_s = call.deadline.require("scoring")
        takes_s = local.view_s * (len(views.pixels) + len(views.faces.pixels))
        if takes_s <= remaining_s:
            return
        if call.lane is Lane.BACKGROUND:
            # Whoever works off a backlog stops here, and does not fetch all of it in vain.
            raise UnavailableError("no worker is connected, and the service itself is too slow for stored pictures")
        now_s = self._clock()
        if now_s - self._tried_s >= TRIED_EVERY_S:
            self._tried_s = now_s
            return
        raise DeadlineExceededError(
            f"no worker is connected, and the service itself takes {takes_s:.1f} s for this picture; "
            f"{remaining_s:.1f} s are left"
        )


class ScorersWithFallback:
    """:class:`Scorers`: the workers', and ``local`` ones, of the same sets of labels or of some of their own."""

    def __init__(
        self,
        fleet: Scorers,
        label_sets: Sequence[tuple[str, ...]],
        is_anybody_there: Callable[[], bool],
        local: LocalScorers,
        *,
        is_same_model: bool,
    ) -> None:
        """``label_sets`` are those of the workers, and of ``local`` too if it has the same models.

        Otherwise ``local`` is for other sets, which no worker has.
        """
        self._fleet = fleet
        self._label_sets = frozenset(label_sets)
        self._is_anybody_there = is_anybody_there
        self._local = local
        self._is_same_model = is_same_model

    def of(self, labels: tuple[str, ...]) -> Scorer:
        """See :class:`Scorers`."""
        if labels not in self._label_sets:
            return self._local.of(labels)
        local = self._local.of(labels) if self._is_same_model else None
        return WithFallback(self._fleet.of(labels), self._is_anybody_there, local)

    def own_of(self, labels: tuple[str, ...]) -> Scorer:
        """The one of the front's own models, for labels that these are for."""
        return self._local.of(labels)

    def require_alive(self) -> None:
        """See :class:`Scorers`."""
        self._fleet.require_alive()
        self._local.require_alive()

    async def close(self) -> None:
        """See :class:`Scorers`."""
        await self._fleet.close()
        await self._local.close()
