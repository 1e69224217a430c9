"""What is said wherever the scores of a model show, of models that would otherwise be trusted for too much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MODEL_NOTICES: Final[Mapping[str, str]] = {
    "age": "an indicator of how old a face looks: its accuracy on children is unknown",
    "demo-shapes": "The demo model only knows drawn shapes and protects nobody: replace its rules before real use.",
}
"""By the names of models that ship or are fetched; :class:`~serve_app.domain.ModelIdentity` carries it on."""
