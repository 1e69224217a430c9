"""What a front scores by itself while no worker is there, as ``remote.fallback`` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from serve_app.composition.scoring import EngineScorers
from serve_app.domain import SettingsError
from serve_app.models.agreement import PolicyReference
from serve_app.models.heads import parse_head
from serve_app.policy import Policy, load_policy
from serve_app.remote.fallback import Scorers, ScorersWithFallback
from serve_app.settings import FallbackKind, ModelSettings, Settings

STAND_IN: Final = "shipped:nsfw"
"""The policy of the classifier, which ships and needs no GPU: what it rejects would mostly be rejected."""


def stand_in_of(kind: FallbackKind, label_sets: Sequence[tuple[str, ...]]) -> Policy | None:
    """The policy that stands in for those of the workers; None unless ``kind`` is ``classifier``.

    Raises:
        SettingsError: the workers score for that policy itself.
    """
    if kind != "classifier":
        return None
    policy = load_policy(STAND_IN)
    if policy.labels in label_sets:
        raise SettingsError(
            f"remote.fallback: classifier is the policy {policy.name}, which the workers score for already: choose cpu"
        )
    return policy


def with_fallback(
    settings: Settings,
    policy: Policy,
    fleet: Scorers,
    label_sets: Sequence[tuple[str, ...]],
    is_anybody_there: Callable[[], bool],
    head_files: Mapping[str, bytes],
) -> Scorers:
    """The scorers of a fleet, and those of the fallback. Blocks until its models are warm.

    They are loaded at the start: what is missing, or does not fit into the memory, shows then, and not in the night in
    which the last worker has gone; and no upload of its first minute waits for it.

    Raises:
        ModelError: a model of the fallback cannot be had.
    """
    remote = settings.remote
    kind = remote.fallback if remote is not None else "none"
    stand_in = stand_in_of(kind, label_sets)
    if stand_in is not None:
        # Larger batches are no faster on a CPU, and take the memory of a small front.
        model = ModelSettings(device="cpu", cpu_threads=settings.model.cpu_threads, max_batch_views=4)
        own = EngineScorers(
            *(model, [stand_in.labels], PolicyReference(STAND_IN, stand_in.digest), settings.deadline_s)
        )
        return ScorersWithFallback(fleet, label_sets, is_anybody_there, own, is_same_model=False)
    if kind == "cpu":
        # What is set for a device of this process is not for its processor.
        has_gpu = settings.model.device == "cuda"
        model = settings.model.model_copy(update={"device": "cpu"} | ({"precision": "auto"} if has_gpu else {}))
        reference = PolicyReference(settings.policy_source, policy.digest)
        heads = {label: parse_head(content, label) for label, content in head_files.items()}
        own = EngineScorers(model, label_sets, reference, settings.deadline_s, heads)
        return ScorersWithFallback(fleet, label_sets, is_anybody_there, own, is_same_model=True)
    return fleet
