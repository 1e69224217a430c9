"""The check of an application's settings against Ray's environment, before a replica starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from deployments.ray_environment import AUTH_MODE_ENV, is_behind_haproxy, lacking_message_settings
from serve_app.composition.configuration import read_args
from serve_app.domain import SettingsError
from serve_app.logs import EventLogger
from serve_app.policy import Policies
from serve_app.settings import Settings

logger = EventLogger(__name__)

_OPEN = "Ray's ports run code for everybody who reaches them and, without a token, asks nobody who they are"


def require_closed_ray(environment: Mapping[str, str] = os.environ) -> None:
    """Require that the cluster of this process wants a token, or that its admin has decided that it wants none.

    Raises:
        SettingsError: neither is the case.
    """
    mode = environment.get(AUTH_MODE_ENV, "").lower()
    if mode == "disabled":
        text = f"{_OPEN}: let a firewall keep everybody else out ({AUTH_MODE_ENV}=disabled)"
        logger.warning("ray_without_token", text)
    elif mode != "token":
        raise SettingsError(
            f"{_OPEN}: start Ray on every node with {AUTH_MODE_ENV}=token and the same RAY_AUTH_TOKEN, 64 hex digits "
            f"(docs/operations.md). {AUTH_MODE_ENV}=disabled says that a firewall keeps everybody else out"
        )


def read_args_for_ray(args: Mapping[str, Any]) -> tuple[Settings, Policies]:
    """The settings and the policies of an application, checked against Ray's environment.

    Args:
        args: as in ``serve_config.yaml``; see :mod:`serve_app.settings`.

    Raises:
        ConfigurationError: as :func:`~serve_app.composition.configuration.read_args`, or Ray's environment does not
            suffice.
    """
    settings, policies = read_args(args)
    _require_known_addresses(settings)
    _require_room_for_bodies(settings)
    return settings, policies


def _require_known_addresses(settings: Settings) -> None:
    if settings.authentication.trusted_networks and is_behind_haproxy():
        raise SettingsError(
            "authentication.trusted_networks cannot work behind HAProxy, where every caller has the address 127.0.0.1: "
            "give pict-rs a URL with a secret and remove the setting, or start Ray without RAY_SERVE_ENABLE_HA_PROXY"
        )


def _require_room_for_bodies(settings: Settings) -> None:
    max_body_bytes = settings.limits.max_body_bytes
    if lacking := lacking_message_settings(max_body_bytes):
        variables = " ".join(f"{name}={value}" for name, value in lacking.items())
        raise SettingsError(
            f"limits.max_body_bytes is {max_body_bytes}, but Ray's environment allows only shorter messages between "
            f"replicas: start Ray on each node with {variables}"
        )
