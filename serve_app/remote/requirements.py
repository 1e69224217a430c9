"""What a front asks of its workers and sends them for it, and what it cannot ask."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from serve_app.domain import HeadFile, PolicyError, SettingsError
from serve_app.domain.limits import MEDIA_VERSION, MediaLimits
from serve_app.models.heads import read_head_bytes
from serve_app.policy import Policy
from serve_app.remote.fleet import RefusedError
from serve_app.remote.frames import MAX_HEAD_BYTES, MAX_HEADS
from serve_app.remote.messages import PROTOCOL, Decoding, Hello, Refusal, Refused, Wanted
from serve_app.settings import RemoteSettings, Settings
from serve_app.version import own_version

Requirement = Callable[[Hello], None]
"""Raises RefusedError for a worker that is not taken."""


def requirement_of(policies: Sequence[Policy], label_sets: Sequence[tuple[str, ...]]) -> Requirement:
    """That a worker has the models to which the thresholds of ``policies`` belong."""

    def require(hello: Hello) -> None:
        if hello.protocol != PROTOCOL:
            return  # the fleet says so first
        for labels, offer in zip(label_sets, hello.offers, strict=False):
            for policy in policies:
                if set(policy.labels) <= set(labels):
                    try:
                        policy.require_model(offer.model)
                    except PolicyError as error:
                        raise RefusedError(Refused(Refusal.MODEL, f"of the worker: {error}")) from error

    return require


def wanted_of(settings: Settings, label_sets: Sequence[tuple[str, ...]], heads: Mapping[str, bytes]) -> Wanted:
    """What a worker is told first; ``heads`` are as :func:`heads_to_send` reads."""
    source, deadline_s = settings.model.source, settings.deadline_s
    return Wanted(PROTOCOL, own_version(), source, tuple(label_sets), deadline_s, dict(heads), _decoding(settings))


def _decoding(settings: Settings) -> Decoding | None:
    """How workers decode, where they may."""
    if settings.remote is None or settings.remote.sends != "bodies":
        return None
    limits = MediaLimits(**{each.name: getattr(settings.limits, each.name) for each in dataclasses.fields(MediaLimits)})
    return Decoding(MEDIA_VERSION, limits.within(settings.deadline_s), settings.truncated)


def heads_to_send(files: Mapping[str, HeadFile]) -> dict[str, bytes]:
    """The files of the heads of policies, by label: workers have none of them.

    Raises:
        ModelError: a file is not there, or another one than the policy names.
        SettingsError: they are too many, or one is too large.
    """
    if len(files) > MAX_HEADS:
        raise SettingsError(
            f"the policies have {len(files)} heads, and at most {MAX_HEADS} are sent to workers: "
            "score here (remote: null, or --scorers here), or use fewer heads"
        )
    heads = {}
    for label, of in files.items():
        heads[label] = content = read_head_bytes(of)
        if len(content) > MAX_HEAD_BYTES:
            raise SettingsError(
                f"the head {of.file} has {len(content)} bytes, and at most {MAX_HEAD_BYTES} are sent to workers: "
                "score here (remote: null, or --scorers here), or train it on a model with a smaller embedding"
            )
    return heads


def require_without_fallback(remote: RemoteSettings) -> None:
    """Refuse, on Ray Serve, what only a front in one process has.

    Raises:
        SettingsError: there is a fallback, workers of fedi-safety are let in, or bodies are sent.
    """
    if remote.fallback != "none" or remote.fedi_safety or remote.sends != "views":
        raise SettingsError(
            "remote.fallback, remote.fedi_safety and remote.sends are for `pictwarden serve`: on Ray Serve leave "
            "them at none, false and views, and give the cluster a scorer of its own where no worker may be missing"
        )
