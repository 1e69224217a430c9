"""The check of an application's settings and policy, before any part of it starts.

Only secrets, devices and the weights of the model are left for the processes that have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serve_app.domain import PolicyError, SettingsError
from serve_app.models import source_name, source_of
from serve_app.policy import Policies, Policy, load_policy
from serve_app.settings import Settings, parse_settings


def read_args(args: Mapping[str, Any]) -> tuple[Settings, Policies]:
    """The settings and the policies of an application.

    In the settings, ``preset``, ``policy`` and ``model.source`` are then what is used, whichever of them were given.
    ``model.source`` is None where no policy has prompts or heads.

    Args:
        args: as in ``serve_config.yaml``; see :mod:`serve_app.settings`.

    Raises:
        ConfigurationError: wrong settings, a wrong policy, or one for another model.
    """
    given = parse_settings(args)
    policies = load_policies(given)
    policy, shadow = policies.of_service, policies.shadow
    beside = [each for each in (shadow, *policies.of_sources.values()) if each is not None and each.model is not None]
    of_prompts = policy.model or next((each.model for each in beside), None)
    source = given.model.source or source_of(of_prompts)
    if source is not None:
        _require_model(source, policy, shadow, has_prompts=bool(policy.model or beside))
        _require_model_of_sources(source, given, policies)
    return _completed(given, source), policies


def load_policies(settings: Settings) -> Policies:
    """The policies that settings name.

    Raises:
        PolicyError: one is wrong; the message names the source whose it is.
    """
    of_service = load_policy(settings.policy_source)
    shadow = load_policy(settings.shadow_policy) if settings.shadow_policy is not None else None
    of_sources = {}
    for name, source in settings.sources.items():
        if source.policy_source is not None:
            try:
                of_sources[name] = load_policy(source.policy_source)
            except PolicyError as error:
                raise PolicyError(f"the policy of sources.{name}: {error}") from error
    return Policies(of_service, of_sources, shadow)


def _require_model_of_sources(source: str, given: Settings, policies: Policies) -> None:
    """Refuse policies of sources that the service's one CLIP model cannot score, or not as well as was compared."""
    model, policy = source_name(source), policies.of_service
    for name, own in policies.of_sources.items():
        if own.model not in (None, model):
            raise PolicyError(
                f"the policy {own.name} of sources.{name} belongs to the model {own.model!r}, but this service has "
                f"{model!r}: choose policies of one CLIP model for all sources, or a service of its own for {name}"
            )
        if own.model is not None and own.digest != policy.digest and given.model.engine == "openvino-int8":
            raise SettingsError(
                f"model.engine openvino-int8 was compared under the service's policy {policy.name}, and sources.{name} "
                f"has another one, {own.name}: choose another engine, or no policy of its own for {name}"
            )


def _require_model(source: str, policy: Policy, shadow: Policy | None, *, has_prompts: bool) -> None:
    """Refuse a CLIP model that the prompts and heads are not for, or that no policy has any for."""
    model = source_name(source)
    if not has_prompts:
        raise PolicyError(
            f"policy {policy.name} has neither prompts nor heads, so that nothing would ask the model of model.source "
            f"({source!r}): set it to null, or choose the policy of this model"
        )
    if policy.model not in (None, model):
        raise PolicyError(
            f"policy {policy.name} belongs to the model {policy.model!r}, but model.source is {model!r}: "
            "choose the policy of this model, or write one (docs/policy.md); thresholds of one model do not fit another"
        )
    if shadow is not None and shadow.model not in (None, model):
        raise PolicyError(
            f"shadow_policy {shadow.name} belongs to the model {shadow.model!r}, but model.source is {model!r}: both "
            "policies judge the same scores, so choose one for this model"
        )


def _completed(given: Settings, source: str | None) -> Settings:
    preset = given.chosen_preset
    return given.model_copy(
        update={
            "preset": preset.name if preset else None,
            "policy": given.policy_source,
            "model": given.model.model_copy(update={"source": source}),
        }
    )
