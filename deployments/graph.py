"""``build_app``: the graph, bound. Deployment options are applied here; the classes are plain ones."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve.deployment import Application

from deployments.clip_scorer import ClipScorer
from deployments.configuration import read_configuration
from deployments.ingress import Ingress
from deployments.preprocessor import Preprocessor
from serve_app.models.agreement import PolicyReference

# A request that waits for one of these in Serve is on no clock of ours, so that it must not come to that: the
# application counts the pictures inside and refuses long before this many (serve_app/moderation/admission.py).
_INGRESS_ONGOING = 1024
_INGRESS_QUEUED = 128

# More than the ingress replicas have inside together, for the stages behind them. Serve asks a replica that was full
# again after pauses that grow to half a second, for one picture at a time, long after it has room: with 64 for a
# preprocessor, 128 pictures at once brought a service of 80 a second down to 4. What is inside is bounded at
# the ingress, and each stage knows who waits for what. Enough for three ingress replicas.
_STAGE_ONGOING = 4096


def build_app(args: dict[str, Any]) -> Application:
    """The application that ``serve_config.yaml`` names as its ``import_path``.

    Args:
        args: as in ``serve_config.yaml``; see :mod:`serve_app.settings`.

    Raises:
        ConfigurationError: wrong settings, a wrong policy, or a policy for another model.
    """
    settings, policy = read_configuration(args)
    scorer = serve.deployment(max_ongoing_requests=_STAGE_ONGOING)(ClipScorer)
    preprocessor = serve.deployment(max_ongoing_requests=_STAGE_ONGOING)(Preprocessor)
    ingress = serve.deployment(
        name="Ingress", max_ongoing_requests=_INGRESS_ONGOING, max_queued_requests=_INGRESS_QUEUED
    )(serve.ingress()(Ingress))
    return ingress.bind(
        settings,
        policy,
        preprocessor.bind(
            settings.limits.within(settings.deadline_s),
            settings.truncated,
            settings.deadline_s,
            settings.decode_workers,
        ),
        scorer.bind(
            settings.model, policy.labels, PolicyReference(settings.policy, policy.digest), settings.deadline_s
        ),
    )
