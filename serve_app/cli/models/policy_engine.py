"""The engine of a policy, in the process of a command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serve_app.models import source_of
from serve_app.models.agreement import PolicyReference
from serve_app.models.engine import Engine
from serve_app.models.factory import open_engine
from serve_app.models.passes import warm_for_passes
from serve_app.policy import Policy

CacheFolder = Annotated[
    Path | None, typer.Option(help="As model.cache_folder in the configuration.", show_default=False)
]


def engine_of(policy: Policy, model: str | None, cache_folder: Path | None) -> Engine:
    """The engine for the labels of ``policy``, warm.

    Args:
        policy: names its models.
        model: as ``model.source`` in the configuration; by default what the policy's prompts are for.
        cache_folder: as ``model.cache_folder`` in the configuration.

    Raises:
        ModelError: a model cannot be had.
        PolicyError: the policy is for another model.
    """
    source = model or source_of(policy.model)
    reference = PolicyReference(policy.name, policy.digest, policy.heads)
    engine = open_engine(source, policy.labels, policy=reference, cache_folder=cache_folder)
    policy.require_model(engine.identity)
    warm_for_passes(engine)
    return engine
