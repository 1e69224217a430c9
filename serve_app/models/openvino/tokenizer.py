"""Prompts to token ids without torch: cleaned as open_clip cleans them, then cut up by the library ``tokenizers``."""

from __future__ import annotations

import html
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serve_app.models.openvino.conversion import TOKENIZER, ConvertedModel
from serve_app.models.openvino.runtime import load_library

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def token_ids(folder: Path, converted: ConvertedModel, prompts: Sequence[str]) -> NDArray[np.int64]:
    """int64, ``(prompts, context_length)``, as open_clip's tokenizer of the model has them.

    Raises:
        ModelError: the extra is not installed.
    """
    tokenizer = load_library("tokenizers").module.Tokenizer.from_file(str(folder / TOKENIZER))
    clean = CLEANING[converted.text_cleaning]
    return np.array([each.ids for each in tokenizer.encode_batch([clean(prompt) for prompt in prompts])], np.int64)


def _fixed(text: str) -> str:
    fixed: str = load_library("ftfy").module.fix_text(text)
    return html.unescape(html.unescape(fixed))


def _whitespace(text: str) -> str:
    return " ".join(_fixed(text).split())


def _lower(text: str) -> str:
    return _whitespace(text).lower()


def _canonicalize(text: str) -> str:
    return " ".join(_fixed(text).replace("_", " ").translate(_WITHOUT_PUNCTUATION).lower().split())


CLEANING: Mapping[str, Callable[[str], str]] = {
    "lower": _lower,
    "whitespace": _whitespace,
    "canonicalize": _canonicalize,
}
"""By open_clip's names."""
