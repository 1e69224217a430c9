"""The classifiers that a policy may name, and the labels of their outputs.

Only names stand here, so that the reader of a policy knows a misspelt one; :mod:`serve_app.models` runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_OF_NSFWJS = ("drawing", "hentai", "neutral", "porn", "sexy")

CLASSIFIERS: Final[Mapping[str, tuple[str, ...]]] = {
    "open-nsfw": ("sfw", "nsfw"),
    "nsfwjs": _OF_NSFWJS,
    "nsfwjs-inception": _OF_NSFWJS,
    "age": ("minor",),
}
"""The outputs of each classifier, in the order in which its network has them. Each is a probability."""


_OF_FACES: Final = ("age",)
"""Those that look at faces and not at views."""


def output_label(classifier: str, output: str) -> str:
    """The label under which an output is scored and recorded, beside the prompts of a policy."""
    return f"{classifier}/{output}"


def output_of(label: str) -> tuple[str, str] | None:
    """The classifier and its output that ``label`` stands for; None for every other text, which is a prompt."""
    return _OUTPUTS.get(label)


def needs_faces(label: str) -> bool:
    """Whether ``label`` is an output of a classifier that looks at faces."""
    known = output_of(label)
    return known is not None and known[0] in _OF_FACES


_OUTPUTS = {output_label(name, each): (name, each) for name, outputs in CLASSIFIERS.items() for each in outputs}
