"""Prompts to token ids without torch: cleaned as open_clip cleans them, then cut up by the library ``tokenizers``."""

from __future__ import annotations

import html
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serve_app.models.openvino.conversion import TOKENIZER, TextCleaning
from serve_app.models.openvino.runtime import load_library

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


class PromptTokenizer:
    """The tokenizer of a converted model."""

    def __init__(self, folder: Path, cleaning: TextCleaning) -> None:
        """Read it.

        Args:
            folder: of the converted model.
            cleaning: what that folder says of how prompts are cleaned.

        Raises:
            ModelError: the extra is not installed.
        """
        self._tokenizer = load_library("tokenizers").module.Tokenizer.from_file(str(folder / TOKENIZER))
        self._clean = CLEANING[cleaning]

    def __call__(self, prompts: Sequence[str]) -> NDArray[np.int64]:
        """int64, ``(prompts, context_length)``: what open_clip's tokenizer of the model gives."""
        encoded = self._tokenizer.encode_batch([self._clean(prompt) for prompt in prompts])
        return np.array([each.ids for each in encoded], np.int64)


def _fixed(text: str) -> str:
    fixed: str = load_library("ftfy").module.fix_text(text)
    return html.unescape(html.unescape(fixed))


def _whitespace(text: str) -> str:
    return " ".join(_fixed(text).split())


def _lower(text: str) -> str:
    return _whitespace(text).lower()


def _canonicalize(text: str) -> str:
    return " ".join(_fixed(text).replace("_", " ").translate(_WITHOUT_PUNCTUATION).lower().split())


CLEANING: Mapping[TextCleaning, Callable[[str], str]] = {
    "lower": _lower,
    "whitespace": _whitespace,
    "canonicalize": _canonicalize,
}
"""By open_clip's names."""
