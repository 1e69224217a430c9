"""The engine of a policy, in the process of a command."""

from __future__ import annotations

from serve_app.models import EMBEDDED_DEMO
from serve_app.models.engine import Engine
from serve_app.models.factory import open_engine
from serve_app.policy import Policy


def engine_of(policy: Policy, model: str | None) -> Engine:
    """The engine for the labels of ``policy``.

    Args:
        policy: names its model.
        model: as ``model.source`` in the configuration; by default the policy's.

    Raises:
        ModelError: the model cannot be had.
        PolicyError: the policy is for another one.
    """
    engine = open_engine(model or _source_of(policy.models[0]), policy.labels)
    policy.require_model(engine.identity)
    return engine


def _source_of(model: str) -> str:
    """Where the model of this name comes from, if its name says so."""
    return f"embedded:{EMBEDDED_DEMO}" if model == EMBEDDED_DEMO else model
