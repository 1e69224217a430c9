"""What can be wrong with a configuration, found before a replica starts; and before Ray does, on one machine.

Only what a replica alone can see is left for later: its secrets, its devices, and the model's weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deployments.ray_environment import is_behind_haproxy, lacking_message_settings
from serve_app.domain import PolicyError, SettingsError
from serve_app.models import source_name
from serve_app.policy import Policy, load_policy
from serve_app.settings import Settings, parse_settings


def read_configuration(args: Mapping[str, Any]) -> tuple[Settings, Policy]:
    """The settings and the policy of an application.

    Args:
        args: as in ``serve_config.yaml``; see :mod:`serve_app.settings`.

    Raises:
        ConfigurationError: wrong settings, a wrong policy, or a policy for another model.
    """
    settings = parse_settings(args)
    _require_known_addresses(settings)
    _require_room_for_bodies(settings)
    policy = load_policy(settings.policy)
    model = source_name(settings.model.source)
    if policy.model != model:
        raise PolicyError(
            f"policy {policy.name} has thresholds for the model {policy.model!r}, and model.source is {model!r}. "
            "Thresholds are never copied from one model to another: choose the policy of this model, or write one"
        )
    return settings, policy


def _require_known_addresses(settings: Settings) -> None:
    if settings.authentication.trust_private_addresses and is_behind_haproxy():
        raise SettingsError(
            "authentication.trust_private_addresses cannot work behind HAProxy: every client is seen as 127.0.0.1, "
            "so everybody would be trusted. Use a secret in the path, or start Ray without RAY_SERVE_ENABLE_HA_PROXY"
        )


def _require_room_for_bodies(settings: Settings) -> None:
    max_body_bytes = settings.limits.max_body_bytes
    if lacking := lacking_message_settings(max_body_bytes):
        variables = " ".join(f"{name}={value}" for name, value in lacking.items())
        raise SettingsError(
            f"limits.max_body_bytes is {max_body_bytes}, and less than that travels between replicas: "
            f"start Ray's processes with {variables}, on each node"
        )
