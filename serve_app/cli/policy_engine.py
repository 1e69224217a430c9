"""The engine of a policy, in the process of a command."""

from __future__ import annotations

from serve_app.models import source_of
from serve_app.models.agreement import PolicyReference
from serve_app.models.engine import Engine
from serve_app.models.factory import open_engine
from serve_app.models.with_faces import warm_for_scores
from serve_app.policy import Policy


def engine_of(policy: Policy, model: str | None) -> Engine:
    """The engine for the labels of ``policy``, warm.

    Args:
        policy: names its models.
        model: as ``model.source`` in the configuration; by default what the policy's prompts are for.

    Raises:
        ModelError: a model cannot be had.
        PolicyError: the policy is for another model.
    """
    source = model or source_of(policy.model)
    reference = PolicyReference(policy.name, policy.digest, policy.heads)
    engine = open_engine(source, policy.labels, policy=reference)
    policy.require_model(engine.identity)
    warm_for_scores(engine)
    return engine
