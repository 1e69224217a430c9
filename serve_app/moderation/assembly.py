"""The use cases of a process, built from its settings over the examiners and a ledger.

Each use case has an examiner of its own, for the labels that it wants: a picture pays for their models alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence

from serve_app.domain import UNNAMED_SOURCE, Examiner, Ledger, OnUnscanned, output_label
from serve_app.lists.live import LiveLists
from serve_app.metrics import FrontMetrics
from serve_app.misskey_api import OUTPUT_BY_CLASS, SEXUAL_CLASSES
from serve_app.moderation.admission import AdmissionControl
from serve_app.moderation.detection import Detector
from serve_app.moderation.moderator import Moderator
from serve_app.moderation.quotas import Quotas
from serve_app.moderation.sinks import ANSWERING, Budgets, LogSink
from serve_app.moderation.terms import StandIn, Terms
from serve_app.policy import Policies, labels_of
from serve_app.settings import Settings

ExaminerOf = Callable[[tuple[str, ...]], Examiner]
"""Makes the examiner for one of the :func:`label_sets`."""


def label_sets(settings: Settings, policies: Policies) -> tuple[tuple[str, ...], ...]:
    """The sets of labels that pictures are scored for: the policies', and Misskey's where it is served."""
    sets = list(policies.label_sets)
    if of_misskey := tuple(_misskey_labels(settings).values()):
        sets.append(of_misskey)
    return tuple(dict.fromkeys(sets))


def admission_of(settings: Settings) -> AdmissionControl:
    """The room of a process, which its sources share."""
    shares = {name: source.share for name, source in settings.sources.items()}
    return AdmissionControl(settings.deadline_s, shares=shares)


def assemble_moderator(  # noqa: PLR0913, PLR0917 - each is a part of its own
    settings: Settings,
    policies: Policies,
    examiner_of: ExaminerOf,
    ledger: Ledger,
    admission: AdmissionControl,
    lists: LiveLists | None = None,
    replicas: Callable[[], int] = lambda: 1,
    metrics: FrontMetrics | None = None,
    budgets: Budgets = ANSWERING,
    stand_ins: Sequence[StandIn] = (),
) -> Moderator:
    """A moderator with ``ledger``, ``lists`` and what else ``settings`` ask for.

    ``replicas`` gives the number of processes that share the quotas of sources. ``metrics`` tell of all of it.
    ``budgets`` are those of the ledger. ``stand_ins`` look at uploads while the models of the policies are unavailable:
    each where those before it are too.
    """
    policy, shadow = policies.of_service, policies.shadow
    # One for each set of labels: what was learnt of a model, and pictures on their way, are known to all that share it.
    examiner_of = functools.cache(examiner_of)
    examiner = examiner_of(labels_of(policy, shadow))

    def stand_in_of(on_unscanned: OnUnscanned, banks: Collection[str] | None = None) -> Terms | None:
        terms = None
        for each in reversed(stand_ins):
            terms = Terms(
                *(each.policy, each.examiner, on_unscanned), banks=banks, stand_in=terms, suffices=each.suffices
            )
        return terms

    def terms_of(name: str) -> Terms:
        source = settings.sources[name]
        on_unscanned, own = source.on_unscanned or settings.on_unscanned, policies.of_sources.get(name)
        others = stand_in_of(on_unscanned, source.lists)
        if own is not None:
            return Terms(own, examiner_of(own.labels), on_unscanned, banks=source.lists, stand_in=others)
        return Terms(policy, examiner, on_unscanned, shadow=shadow, banks=source.lists, stand_in=others)

    quotas = {name: source.quota_per_minute for name, source in settings.sources.items() if source.quota_per_minute}
    moderator = Moderator(
        policy,
        examiner,
        ledger,
        settings.on_unscanned,
        admission,
        settings.max_background_pictures,
        sinks=[LogSink()],
        count=metrics.decisions.count if metrics is not None else None,
        shadow=shadow,
        lists=lists,
        of_sources={name: terms_of(name) for name in settings.sources},
        quotas=Quotas(quotas, replicas),
        budgets=budgets,
        stand_in=stand_in_of(settings.on_unscanned),
    )
    if metrics is not None:
        metrics.watch(
            {UNNAMED_SOURCE: policy, **{name: policies.of(name) for name in settings.sources}},
            admission,
            model=lambda: moderator.model,
            ledger_health=lambda: moderator.ledger_health,
            lists_health=lambda: moderator.lists_health,
            over_quota=lambda: moderator.over_quota,
        )
    return moderator


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
