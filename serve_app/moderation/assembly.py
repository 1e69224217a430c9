"""The moderator of a process, built from its settings over an examiner and a ledger."""

from __future__ import annotations

from serve_app.domain import Examiner, Ledger
from serve_app.lists.live import LiveLists
from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.moderator import Moderator
from serve_app.moderation.sinks import LogSink
from serve_app.policy import Policy
from serve_app.settings import Settings


def assemble_moderator(
    settings: Settings,
    policy: Policy,
    examiner: Examiner,
    ledger: Ledger,
    admission: AdmissionControl,
    shadow: Policy | None = None,
    lists: LiveLists | None = None,
) -> Moderator:
    """A moderator with ``ledger``, ``lists`` and what else ``settings`` ask for."""
    return Moderator(
        policy,
        examiner,
        ledger,
        settings.on_unscanned,
        admission,
        settings.max_background_pictures,
        sinks=[LogSink()],
        shadow=shadow,
        lists=lists,
    )
