"""The presets: one word for a policy and the models that its thresholds belong to.

An admin sets one first, and a policy of their own later. What each says of itself stands here, so that the start,
``pictwarden presets`` and the documentation say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serve_app.domain import MODEL_NOTICES

CALIBRATION = "not calibrated"
"""What is known of the thresholds of every preset: nobody has measured them on an instance's own pictures."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A policy, and what it says of itself in a line.

    ``policy`` is a source as in the settings; ``models`` are those that it names. ``kinds`` has a line for each kind of
    rule, where a stand-in and a real rule are side by side and must not be taken for each other.
    """

    name: str
    policy: str
    models: tuple[str, ...]
    protects: str
    needs: str
    kinds: tuple[str, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """The notice of each model that has one, behind its name."""
        return tuple(f"{model}: {MODEL_NOTICES[model]}" for model in self.models if model in MODEL_NOTICES)

    def __str__(self) -> str:
        return "; ".join((f"preset {self.name}: {self.protects}", f"needs {self.needs}", CALIBRATION, *self.notices))


_OF_CSAM = "rejects a picture in which a minor is depicted and the context is sexual"

PRESETS: Mapping[str, Preset] = {
    each.name: each
    for each in (
        Preset(
            "starter",
            "shipped:starter",
            ("demo-shapes", "open-nsfw"),
            "rejects sexual content, and a red triangle to show a rejection",
            "the extras clip and nsfw; no download, no GPU",
            (
                "stand-in: the rule red-triangle; its model knows drawn shapes alone, and protects nobody",
                "real: the rules sexual-content and maybe-sexual-content; open-nsfw scores every picture for them",
            ),
        ),
        Preset(
            "demo",
            "shipped:demo-red-triangle",
            ("demo-shapes",),
            "rejects a red triangle to show a rejection, and protects nobody",
            "the extra clip; no download, no GPU",
        ),
        Preset(
            "nsfw",
            "shipped:nsfw",
            ("open-nsfw",),
            "rejects sexual content, and flags what may be sexual",
            "the extra nsfw; no torch, no download, no GPU",
        ),
        Preset(
            "two-step",
            "shipped:two-step",
            ("age", "open-nsfw"),
            "flags sexual content with a face that looks younger than 18; an indicator that misses much",
            "the extra age, and `pictwarden model fetch age` (once); no torch, no GPU",
        ),
        Preset(
            "csam",
            "shipped:csam",
            ("ViT-L-14/openai",),
            _OF_CSAM,
            "the extra clip, ViT-L-14 from its hub (1.7 GB, once), and a GPU or time",
        ),
        Preset(
            "csam-fast",
            "shipped:csam-fast",
            ("ViT-B-32/laion2b_s34b_b79k",),
            f"{_OF_CSAM}; faster and less exact than csam",
            "the extra clip, and ViT-B-32 from its hub (0.6 GB, once)",
        ),
        Preset(
            "horde",
            "installed:horde-safety",
            ("ViT-L-14/openai",),
            "decides from CLIP as the package horde-safety does: a minor and sexual content",
            "that package, the extra clip, ViT-L-14 from its hub (1.7 GB, once), and a GPU or time",
        ),
    )
}
"""All of them by name, in the order in which a person meets them."""

DEFAULT = PRESETS["starter"]
"""Of a service for which nobody has set a preset, a policy or a model."""
