"""The ports: what moderation needs from elsewhere, and the two stages of examining."""

from __future__ import annotations

from typing import Protocol

from serve_app.domain.call import Call, Deadline, LoadSignals
from serve_app.domain.decision import Decision
from serve_app.domain.examination import Examination, LabelScores, ModelIdentity
from serve_app.domain.media import Body, Views


class Examiner(Protocol):
    """Bodies to examinations: the one port that the moderator calls, however many processes stand behind it."""

    @property
    def model(self) -> ModelIdentity | None:
        """The loaded model, if it is known; None before the first answer and after the loss of a scorer."""
        ...

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        """Which model is loaded and warm.

        Raises:
            NotScannedError: no model is warm within the deadline.
        """
        ...

    async def examine(self, body: Body, call: Call) -> Examination:
        """Decode the picture, cut views of it, and score them.

        Raises:
            UnscannedError: the bytes cannot be decoded, the time or the room does not suffice, or a stage is down.
        """
        ...


class Preprocessor(Protocol):
    """Bytes of media to views of the model's size."""

    async def preprocess(self, content: bytes, view_size_px: int, call: Call, load: LoadSignals) -> Views:
        """Sniff, decode under limits, sample frames, cut square views of ``view_size_px``.

        Raises:
            UnscannedError: the bytes cannot be decoded, or not in time.
        """
        ...


class Scorer(Protocol):
    """Views to label scores."""

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        """Which model is loaded and warm.

        Raises:
            NotScannedError: none is, within the deadline.
        """
        ...

    async def score(self, views: Views, call: Call, load: LoadSignals) -> LabelScores:
        """The similarity of every view to every label of the policy.

        Raises:
            NotScannedError: the time or the room does not suffice, or the scorer is down.
        """
        ...


class Sink(Protocol):
    """A receiver of decisions. A sink that fails or hangs costs its time budget, and no verdict."""

    async def record(self, decision: Decision) -> None:
        """Record a decision; it is recorded when this returns."""
        ...


class Ledger(Sink, Protocol):
    """A store of decisions."""

    async def find(self, sha256: str, model_digest: str, policy_digest: str) -> Decision | None:
        """The latest judgement of these bytes by this model and policy, if there is one."""
        ...
