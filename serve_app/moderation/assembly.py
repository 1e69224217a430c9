"""The use cases of a process, built from its settings over the examiners and a ledger.

Each use case has an examiner of its own, for the labels that it wants: a picture pays for their models alone.
"""

from __future__ import annotations

from collections.abc import Callable

from serve_app.domain import Examiner, Ledger, output_label
from serve_app.lists.live import LiveLists
from serve_app.misskey_api import OUTPUT_BY_CLASS, SEXUAL_CLASSES
from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.detection import Detector
from serve_app.moderation.moderator import Moderator
from serve_app.moderation.sinks import LogSink
from serve_app.policy import Policy, labels_of
from serve_app.settings import Settings

ExaminerOf = Callable[[tuple[str, ...]], Examiner]
"""Makes the examiner for one of the :func:`label_sets`."""


def label_sets(settings: Settings, policy: Policy, shadow: Policy | None) -> tuple[tuple[str, ...], ...]:
    """The sets of labels that pictures are scored for: the policies', and Misskey's where it is served."""
    sets = [labels_of(policy, shadow)]
    if of_misskey := tuple(_misskey_labels(settings).values()):
        sets.append(of_misskey)
    return tuple(dict.fromkeys(sets))


def assemble_moderator(
    settings: Settings,
    policy: Policy,
    examiner_of: ExaminerOf,
    ledger: Ledger,
    admission: AdmissionControl,
    shadow: Policy | None = None,
    lists: LiveLists | None = None,
) -> Moderator:
    """A moderator with ``ledger``, ``lists`` and what else ``settings`` ask for."""
    return Moderator(
        policy,
        examiner_of(labels_of(policy, shadow)),
        ledger,
        settings.on_unscanned,
        admission,
        settings.max_background_pictures,
        sinks=[LogSink()],
        shadow=shadow,
        lists=lists,
    )


def assemble_detector(settings: Settings, examiner_of: ExaminerOf, admission: AdmissionControl) -> Detector | None:
    """What answers Misskey, in the room of the moderator; None unless ``settings`` ask for it."""
    labels = _misskey_labels(settings)
    if not labels:
        return None
    outputs = tuple(labels.values())
    return Detector(examiner_of(outputs), admission, outputs, [labels[each] for each in SEXUAL_CLASSES])


def _misskey_labels(settings: Settings) -> dict[str, str]:
    """The label of each of Misskey's classes; none if nothing is detected for it."""
    classifier = settings.misskey.classifier
    if classifier is None:
        return {}
    return {each: output_label(classifier, output) for each, output in OUTPUT_BY_CLASS.items()}
