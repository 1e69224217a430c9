"""What a front asks of its workers, and what it cannot ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from serve_app.domain import PolicyError, SettingsError
from serve_app.policy import Policy, heads_of
from serve_app.remote.admission import RefusedError
from serve_app.remote.messages import PROTOCOL, Hello, Refusal, Refused
from serve_app.settings import RemoteSettings

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


def require_without_heads(*policies: Policy | None) -> None:
    """Refuse policies whose scores come from files of this machine.

    Raises:
        SettingsError: one has heads.
    """
    if heads := heads_of(*policies):
        first = next(iter(heads))
        raise SettingsError(
            f"workers do not have the files of heads, and the policy has {len(heads)} of them (the first: {first}): "
            "score here (remote: null, or --scorers here), or choose a policy without `score: head`"
        )


def require_without_fallback(remote: RemoteSettings) -> None:
    """Refuse, on Ray Serve, what only a front in one process has.

    Raises:
        SettingsError: there is a fallback, or workers of fedi-safety are let in.
    """
    if remote.fallback != "none" or remote.fedi_safety:
        raise SettingsError(
            "remote.fallback and remote.fedi_safety are for `pictwarden serve`: on Ray Serve leave them at none and "
            "false, and give the cluster a scorer of its own where no worker may be missing"
        )
