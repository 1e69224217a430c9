"""The check of an application's settings and policy, before any part of it starts.

Only secrets, devices and the weights of the model are left for the processes that have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serve_app.domain import PolicyError
from serve_app.models import source_name
from serve_app.policy import Policy, load_policy
from serve_app.settings import Settings, parse_settings


def read_args(args: Mapping[str, Any]) -> tuple[Settings, Policy, Policy | None]:
    """The settings, the policy and, if there is one, the shadow policy of an application.

    Args:
        args: as in ``serve_config.yaml``; see :mod:`serve_app.settings`.

    Raises:
        ConfigurationError: wrong settings, a wrong policy, or one for another model.
    """
    settings = parse_settings(args)
    policy = load_policy(settings.policy)
    shadow = load_policy(settings.shadow_policy) if settings.shadow_policy is not None else None
    with_prompts = [each for each in (policy, shadow) if each is not None and each.prompts]
    if not with_prompts:
        return _without_model_source(settings, policy), policy, shadow
    if settings.model.source is None:
        raise PolicyError(
            f"policy {with_prompts[0].name} has prompts for the model {with_prompts[0].model!r}, and model.source is "
            "null: set it to the source of this model, or choose a policy that asks classifiers alone"
        )
    model = source_name(settings.model.source)
    if policy.model not in {model, None}:
        raise PolicyError(
            f"policy {policy.name} belongs to the model {policy.model!r}, but model.source is {model!r}: "
            "choose the policy of this model, or write one (docs/policy.md); thresholds of one model do not fit another"
        )
    if shadow is not None and shadow.model not in {model, None}:
        raise PolicyError(
            f"shadow_policy {shadow.name} belongs to the model {shadow.model!r}, but model.source is {model!r}: both "
            "policies judge the same scores, so choose one for this model"
        )
    return settings, policy, shadow


def _without_model_source(settings: Settings, policy: Policy) -> Settings:
    """The settings for policies without prompts, whose classifiers have their names in the policies.

    Raises:
        PolicyError: a model is set for prompts.
    """
    model = settings.model
    if model.source is not None and "source" in model.model_fields_set:
        raise PolicyError(
            f"policy {policy.name} has no prompts, so that nothing would ask the model of model.source "
            f"({model.source!r}): set it to null, or choose the policy of this model"
        )
    return settings.model_copy(update={"model": model.model_copy(update={"source": None})})
