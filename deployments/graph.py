"""``build_app``: the graph, bound. Deployment options are applied here; the classes are plain ones.

Everything that can be wrong with a configuration is found here, before a replica starts, except what only a replica
can see: its secrets, its devices and the model's weights.
"""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve.deployment import Application

from deployments.clip_scorer import ClipScorer
from deployments.ingress import Ingress
from deployments.preprocessor import Preprocessor
from deployments.ray_environment import is_behind_haproxy
from serve_app.clip import source_name
from serve_app.domain import PolicyError, SettingsError
from serve_app.media import MediaLimits
from serve_app.policy import load_policy
from serve_app.settings import Settings, parse_settings

# Serve's default of 5 would keep batches from filling (ray_serve.md, 9). Memory of an ingress replica is bounded by
# this many bodies; requests beyond it wait in the proxy.
_INGRESS_ONGOING = 64

# Two per replica: one is decoded while the next one's bytes arrive.
_PREPROCESSOR_ONGOING = 8

# The batcher bounds its own queue and refuses with a reason; this is only kept from being the narrower limit.
_SCORER_ONGOING = 1024


def build_app(args: dict[str, Any]) -> Application:
    """The application that ``serve_config.yaml`` names as its ``import_path``.

    Args:
        args: as in ``serve_config.yaml``; see :mod:`serve_app.settings`.

    Raises:
        ConfigurationError: wrong settings, a wrong policy, or a policy for another model.
    """
    settings = parse_settings(args)
    _require_known_addresses(settings)
    policy = load_policy(settings.policy)
    model = source_name(settings.model.source)
    if policy.model != model:
        raise PolicyError(
            f"policy {policy.name} has thresholds for the model {policy.model!r}, and model.source is {model!r}. "
            "Thresholds are never copied from one model to another: choose the policy of this model, or write one"
        )
    scorer = serve.deployment(max_ongoing_requests=_SCORER_ONGOING)(ClipScorer)
    preprocessor = serve.deployment(max_ongoing_requests=_PREPROCESSOR_ONGOING)(Preprocessor)
    ingress = serve.deployment(name="Ingress", max_ongoing_requests=_INGRESS_ONGOING)(serve.ingress()(Ingress))
    return ingress.bind(
        settings,
        policy,
        preprocessor.bind(_media_limits(settings)),
        scorer.bind(settings.model, policy.labels, settings.deadline_s),
    )


def _media_limits(settings: Settings) -> MediaLimits:
    limits = settings.limits
    return MediaLimits(
        max_pixels=limits.max_pixels,
        max_video_pixels=limits.max_video_pixels,
        max_frames_total=limits.max_frames_total,
        max_duration_s=limits.max_duration_s,
        max_frames=limits.max_frames,
        max_views=limits.max_views,
    )


def _require_known_addresses(settings: Settings) -> None:
    if settings.authentication.trust_private_addresses and is_behind_haproxy():
        raise SettingsError(
            "authentication.trust_private_addresses cannot work behind HAProxy: every client is seen as 127.0.0.1, "
            "so everybody would be trusted. Use a secret in the path, or start Ray without RAY_SERVE_ENABLE_HA_PROXY"
        )
