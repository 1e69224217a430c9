"""The use cases of a process, built from its settings over an examiner and a ledger."""

from __future__ import annotations

from serve_app.domain import Examiner, Ledger, output_label
from serve_app.lists.live import LiveLists
from serve_app.misskey_api import OUTPUT_BY_CLASS, SEXUAL_CLASSES
from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.detection import Detector
from serve_app.moderation.moderator import Moderator
from serve_app.moderation.sinks import LogSink
from serve_app.policy import Policy, labels_of
from serve_app.settings import Settings


def scored_labels(settings: Settings, policy: Policy, shadow: Policy | None) -> tuple[str, ...]:
    """The labels that a scorer of this application scores: those of the policies, and what Misskey asks for."""
    return labels_of(policy, shadow, tuple(_misskey_labels(settings).values()))


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
        others=tuple(_misskey_labels(settings).values()),
    )


def assemble_detector(
    settings: Settings,
    policy: Policy,
    examiner: Examiner,
    admission: AdmissionControl,
    shadow: Policy | None = None,
) -> Detector | None:
    """What answers Misskey, over the stages and the room of the moderator; None unless ``settings`` ask for it."""
    labels = _misskey_labels(settings)
    if not labels:
        return None
    return Detector(
        examiner,
        admission,
        scored_labels(settings, policy, shadow),
        tuple(labels.values()),
        [labels[each] for each in SEXUAL_CLASSES],
    )


def _misskey_labels(settings: Settings) -> dict[str, str]:
    """The label of each of Misskey's classes; none if nothing is detected for it."""
    classifier = settings.misskey.classifier
    if classifier is None:
        return {}
    return {each: output_label(classifier, output) for each, output in OUTPUT_BY_CLASS.items()}
