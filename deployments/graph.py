"""``build_app`` binds the graph. Deployment options are applied here, and the classes stay plain."""

from __future__ import annotations

from itertools import chain
from typing import Any

import ray
from ray import serve
from ray.serve.deployment import Application

from deployments.clip_scorer import ClipScorer
from deployments.environment_check import read_args_for_ray, require_closed_ray
from deployments.ingress import Ingress
from deployments.labels_before import with_those_before
from deployments.ledger_file import require_database
from deployments.preprocessor import Preprocessor
from deployments.ray_table import RayTable
from deployments.remote_scorer import RemoteScorer
from serve_app.database.location import locate
from serve_app.models.agreement import PolicyReference
from serve_app.moderation import label_sets
from serve_app.remote.requirements import heads_to_send, require_without_fallback

# Far above the number of pictures that the application admits (serve_app/moderation/admission.py), since a request
# that waits in Serve is on no clock of ours.
_INGRESS_ONGOING = 1024
_INGRESS_QUEUED = 128

# More than three ingress replicas have inside together: a replica that is full for Serve gets its next picture only
# after pauses of up to half a second (docs/adr/0008).
_STAGE_ONGOING = 4096

# It passes views on, and computes nothing.
_REMOTE_SCORER_CPUS = 0.2


def build_app(args: dict[str, Any]) -> Application:
    """The application that ``serve_config.yaml`` names as its ``import_path``.

    Args:
        args: as in ``serve_config.yaml``; see :mod:`serve_app.settings`.

    Raises:
        ConfigurationError: wrong settings, a wrong policy, a policy for another model, or a cluster without a token.
    """
    require_closed_ray()
    settings, policies = read_args_for_ray(args)
    sets = label_sets(settings, policies)
    # On a cluster Serve calls this in a process of Ray's.
    scored = with_those_before(sets, settings.model.source, RayTable()) if ray.is_initialized() else sets
    preprocessor = serve.deployment(max_ongoing_requests=_STAGE_ONGOING)(Preprocessor)
    ingress = serve.deployment(
        name="Ingress", max_ongoing_requests=_INGRESS_ONGOING, max_queued_requests=_INGRESS_QUEUED
    )(serve.ingress()(Ingress))
    reference = PolicyReference(settings.policy_source, policies.of_service.digest, policies.heads)
    if settings.remote is None:
        clip = serve.deployment(max_ongoing_requests=_STAGE_ONGOING)(ClipScorer)
        scorer = clip.bind(settings.model, scored, reference, settings.deadline_s, settings.log, settings.metrics)
    else:
        require_without_fallback(settings.remote)
        require_database(settings)
        # Read here, beside the policy: workers get them, and the nodes need no copy.
        heads = heads_to_send(policies.heads)
        remote = serve.deployment(
            max_ongoing_requests=_STAGE_ONGOING, num_replicas=1, ray_actor_options={"num_cpus": _REMOTE_SCORER_CPUS}
        )(RemoteScorer)
        scorer = remote.bind(settings, scored, policies.deciding, locate(settings.ledger), heads)
    return ingress.bind(
        settings,
        policies,
        preprocessor.bind(
            settings.limits.within(settings.deadline_s),
            settings.truncated,
            settings.deadline_s,
            tuple(chain.from_iterable(sets)),
            settings.log,
            settings.decode_workers,
            settings.model.cache_folder,
            settings.metrics,
        ),
        scorer,
        locate(settings.ledger),
    )
