"""What the use case needs from elsewhere, and what the stages behind it are."""

from __future__ import annotations

from typing import Protocol

from serve_app.domain.call import Call, Deadline, LoadSignals
from serve_app.domain.decision import Decision
from serve_app.domain.examination import Examination, LabelScores, ModelIdentity
from serve_app.domain.media import Body, Views


class Examiner(Protocol):
    """Bodies to examinations: the one thing that the moderator asks, however many processes it takes."""

    @property
    def model(self) -> ModelIdentity | None:
        """The model that is loaded, as far as is known; None before the first answer, and after a scorer was lost."""
        ...

    async def identify(self, deadline: Deadline) -> ModelIdentity:
        """Which model is loaded and warm.

        Raises:
            NotScannedError: none is, within the deadline.
        """
        ...

    async def examine(self, body: Body, call: Call) -> Examination:
        """Decode the picture, cut views of it, and score them.

        Raises:
            UnscannedError: the bytes could not be read; or too late, too much, or not there.
        """
        ...


class Preprocessor(Protocol):
    """Bytes of media to views of the model's size."""

    async def preprocess(self, content: bytes, view_size_px: int, call: Call, load: LoadSignals) -> Views:
        """Sniff, decode under limits, sample frames, cut square views of ``view_size_px``.

        Raises:
            UnscannedError: the bytes could not be read, or not in time.
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
            NotScannedError: too late, too much, or not there.
        """
        ...


class Sink(Protocol):
    """Where decisions go. One that fails or hangs costs its budget of time, and no verdict."""

    async def record(self, decision: Decision) -> None:
        """Record a decision; when this returns, it is recorded."""
        ...


class Ledger(Sink, Protocol):
    """Decisions, stored."""

    async def find(self, sha256: str, model_digest: str, policy_digest: str) -> Decision | None:
        """The latest decision with a judgement on these bytes by this model and policy, if there is one."""
        ...
