"""The moderator of a process, from its settings and the two stages behind it, wherever those run."""

from __future__ import annotations

from serve_app.domain import Preprocessor, Scorer
from serve_app.ledger import MemoryLedger
from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.moderator import Moderator
from serve_app.moderation.pipeline import Pipeline
from serve_app.moderation.sinks import LogSink
from serve_app.policy import Policy
from serve_app.settings import Settings


def assemble_moderator(settings: Settings, policy: Policy, preprocessor: Preprocessor, scorer: Scorer) -> Moderator:
    """A moderator with the ledger and the sinks that ``settings`` ask for."""
    admission = AdmissionControl(settings.deadline_s)
    return Moderator(
        policy,
        Pipeline(preprocessor, scorer, lambda: admission.demand),
        MemoryLedger(settings.ledger.kept_decisions),
        settings.on_unscanned,
        admission,
        settings.max_background_pictures,
        sinks=[LogSink()],
    )
