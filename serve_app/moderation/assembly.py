"""The moderator of a process, built from its settings over an examiner."""

from __future__ import annotations

from serve_app.domain import Examiner
from serve_app.ledger import MemoryLedger
from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.moderator import Moderator
from serve_app.moderation.sinks import LogSink
from serve_app.policy import Policy
from serve_app.settings import Settings


def assemble_moderator(
    settings: Settings, policy: Policy, examiner: Examiner, admission: AdmissionControl, shadow: Policy | None = None
) -> Moderator:
    """A moderator with the ledger and the sinks that ``settings`` ask for."""
    return Moderator(
        policy,
        examiner,
        MemoryLedger(),
        settings.on_unscanned,
        admission,
        settings.max_background_pictures,
        sinks=[LogSink()],
        shadow=shadow,
    )
