"""What can be wrong with the args of an application, found before anything of it starts.

Only what the process that computes can see is left for later: its secrets, its devices, and the model's weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serve_app.domain import PolicyError
from serve_app.models import source_name
from serve_app.policy import Policy, load_policy
from serve_app.settings import Settings, parse_settings


def read_args(args: Mapping[str, Any]) -> tuple[Settings, Policy]:
    """The settings and the policy of an application.

    Args:
        args: as in ``serve_config.yaml``; see :mod:`serve_app.settings`.

    Raises:
        ConfigurationError: wrong settings, a wrong policy, or a policy for another model.
    """
    settings = parse_settings(args)
    policy = load_policy(settings.policy)
    model = source_name(settings.model.source)
    if policy.model != model:
        raise PolicyError(
            f"policy {policy.name} has thresholds for the model {policy.model!r}, and model.source is {model!r}. "
            "Thresholds are never copied from one model to another: choose the policy of this model, or write one"
        )
    return settings, policy
