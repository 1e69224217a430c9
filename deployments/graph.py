"""``build_app``: the graph, bound. Deployment options are applied here; the classes are plain ones."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve.deployment import Application

from deployments.clip_scorer import ClipScorer
from deployments.configuration import read_configuration
from deployments.ingress import Ingress
from deployments.preprocessor import Preprocessor
from serve_app.clip.agreement import PolicyReference
from serve_app.media import MediaLimits
from serve_app.settings import Settings

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
    settings, policy = read_configuration(args)
    scorer = serve.deployment(max_ongoing_requests=_SCORER_ONGOING)(ClipScorer)
    preprocessor = serve.deployment(max_ongoing_requests=_PREPROCESSOR_ONGOING)(Preprocessor)
    ingress = serve.deployment(name="Ingress", max_ongoing_requests=_INGRESS_ONGOING)(serve.ingress()(Ingress))
    return ingress.bind(
        settings,
        policy,
        preprocessor.bind(_media_limits(settings), settings.limits.decode_workers),
        scorer.bind(
            settings.model, policy.labels, PolicyReference(settings.policy, policy.digest), settings.deadline_s
        ),
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
        max_decode_s=limits.max_decode_s,
        max_decode_memory_bytes=limits.max_decode_memory_bytes,
    )
