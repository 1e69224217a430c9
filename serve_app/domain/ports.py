"""The ports: what moderation needs from elsewhere, and the two stages of examining."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from serve_app.domain.archive import (
    AuditEntry,
    DecisionFilter,
    DecisionPage,
    Erased,
    ForgetScope,
    LedgerHealth,
    PendingDecisions,
    RecordedDecision,
    Tally,
)
from serve_app.domain.call import Call, Deadline, LoadSignals
from serve_app.domain.decision import Decision, Recollection
from serve_app.domain.examination import Examination, LabelScores, ModelIdentity
from serve_app.domain.media import Body, Views
from serve_app.domain.workers import Doubt


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

    async def preprocess(
        self, content: bytes, view_size_px: int, call: Call, load: LoadSignals, with_faces: bool = False
    ) -> Views:
        """Sniff, decode under limits, sample frames, cut square views of ``view_size_px``, and faces if ``with_faces``.

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
    """A store of decisions, as a picture on its way needs it. Recording a decision twice does nothing."""

    async def recall(self, sha256: str, model_digest: str) -> Recollection | None:
        """What is recorded of these bytes and this model; None where nothing is, or only their first part was seen."""
        ...

    def health(self) -> LedgerHealth:
        """Whether decisions are being recorded. Returns at once."""
        ...


class WorkLease(Protocol):
    """The right to do some work, which one of several programs over one database has at a time."""

    async def hold(self) -> bool:
        """Take or renew it, for 25 s; False while another program has it.

        Raises:
            Exception: the database cannot be asked; it does not count as held.
        """
        ...

    async def release(self) -> None:
        """Let another program have it at once."""
        ...


class DecisionArchive(Protocol):
    """The recorded decisions, as admins need them. Every time has an offset."""

    async def get(self, request_id: str) -> RecordedDecision | None:
        """The decision with this id, with its examination and its fingerprints as far as they are still recorded."""
        ...

    async def search(
        self, wanted: DecisionFilter, limit: int = 100, cursor: str | None = None, *, with_examinations: bool = False
    ) -> DecisionPage:
        """The newest decisions that ``wanted`` names; ``cursor`` is that of the page before.

        ``with_examinations`` as in :meth:`get`.

        Raises:
            ValueError: the cursor is none that a page had, or ``limit`` is not positive.
        """
        ...

    async def count(self, wanted: DecisionFilter) -> int:
        """How many decisions :meth:`search` would find."""
        ...

    async def pending(self, limit: int = 100, after: str | None = None) -> DecisionPage:
        """Decisions whose picture waits to be scanned, oldest first; ``after`` is the cursor of the page before.

        Raises:
            ValueError: see :meth:`search`.
        """
        ...

    async def pending_count(self) -> PendingDecisions:
        """How many decisions :meth:`pending` would show, and how old they are."""
        ...

    async def tally(self, since: datetime, until: datetime) -> Sequence[Tally]:
        """How many decisions there are since a moment and before another, those alike together; without the canary."""
        ...

    async def mark_done(self, request_id: str, how: str) -> bool:
        """The picture of a pending decision was dealt with; False if there is no such pending decision."""
        ...

    async def reopen(self, request_id: str, why: str) -> bool:
        """Have the picture of a decision, which was stored, scanned again, and leave an entry in the audit.

        It is pending from now on. False if no such decision is recorded, or its picture was not to be stored.
        """
        ...

    async def forget(
        self, scope: ForgetScope, actor: str, show: Callable[[Erased], None] = lambda erased: None
    ) -> Erased:
        """Erase every decision of ``scope`` that was made before this.

        The audit says so before anything is erased, and how much it was once all is. It may take long: ``show`` is
        told, in any thread, how much is erased so far.

        Raises:
            UnavailableError: the ledger was closed before all was erased.
        """
        ...

    async def forget_scores(self, doubt: Doubt) -> None:
        """Erase the scores in doubt that are recorded: the same bytes are then scanned anew.

        Fingerprints too, where these are in doubt. Decisions stay. From the doubt's entry in the audit on, which
        comes before this, no such scores are recalled, and none are recorded that come later.

        Raises:
            UnavailableError: the ledger was closed before all was erased.
        """
        ...

    async def prune(self, now: datetime) -> Erased:
        """Erase what is older than its retention (:class:`serve_app.domain.Retention`)."""
        ...

    async def audit(self, entry: AuditEntry) -> None:
        """Add an entry to the audit, which nobody changes; a retention erases those of reads alone."""
        ...

    async def audit_within(self, entry: AuditEntry, most_a_day: int, once_per: str) -> bool:
        """Add an entry, unless the audit has reached the quota of its action since midnight, UTC: whether it was added.

        A quota for what cannot be undone, however many programs do it: the entry comes first, and then the deed. A deed
        that failed is tried again without another unit: entries that share the detail ``once_per`` count once.

        Raises:
            UnavailableError: the archive cannot be read or written; nothing was added.
        """
        ...

    async def audited(self, action: str, since: datetime) -> Sequence[AuditEntry]:
        """The entries of one action since a moment, oldest first."""
        ...

    async def audit_trail(self, limit: int = 100) -> Sequence[AuditEntry]:
        """The latest entries, newest first."""
        ...
