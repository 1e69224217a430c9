"""open_clip's tokenizers, which import torch, in the form of the library ``tokenizers``, which does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer, get_clean_fn

from serve_app.domain import ModelError
from serve_app.models.openvino.conversion import TextCleaning
from serve_app.models.openvino.runtime import load_library

_START, _END = "<start_of_text>", "<end_of_text>"

# As in open_clip's SimpleTokenizer.
_WORDS = r"(?i)'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def export_tokenizer(tokenize: Callable[[list[str]], torch.Tensor], file: Path) -> TextCleaning:
    """Write ``tokenize``, as open_clip made it, to ``file``; returns how a text is cleaned before.

    Raises:
        ModelError: it is of a kind that cannot be written; or the extra is not installed.
    """
    if isinstance(tokenize, SimpleTokenizer) and tokenize.reduction_fn is None:
        exported = _byte_pairs(tokenize)
    elif isinstance(tokenize, HFTokenizer) and _is_plain(tokenize):
        exported = _padded(tokenize)
    else:
        raise ModelError(
            f"the tokenizer of this model, a {type(tokenize).__name__}, cannot be converted: stay with torch"
        )
    exported.save(str(file))
    return next(each for each in get_args(TextCleaning) if get_clean_fn(each) is tokenize.clean_fn)


def _byte_pairs(simple: SimpleTokenizer) -> Any:
    library = load_library("tokenizers").module
    merges = sorted(simple.bpe_ranks, key=simple.bpe_ranks.__getitem__)
    tokenizer = library.Tokenizer(library.models.BPE(simple.encoder, merges, end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence(
        [
            library.pre_tokenizers.Split(library.Regex(_WORDS), behavior="removed", invert=True),
            library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = library.processors.TemplateProcessing(
        single=f"{_START} $A {_END}",
        special_tokens=[(token, simple.encoder[token]) for token in (_START, _END)],
    )
    tokenizer.add_special_tokens([_START, _END])
    tokenizer.enable_truncation(simple.context_length)
    tokenizer.enable_padding(length=simple.context_length, pad_id=0, pad_token="")
    return tokenizer


def _is_plain(hugging_face: HFTokenizer) -> bool:
    is_fast = hasattr(hugging_face.tokenizer, "backend_tokenizer")
    return is_fast and not hugging_face.tokenizer_mode and not hugging_face.strip_sep_token


def _padded(hugging_face: HFTokenizer) -> Any:
    """Its own ``tokenizers`` form, told to cut and pad as open_clip asks for with each call."""
    fast, length = hugging_face.tokenizer, hugging_face.context_length
    tokenizer = load_library("tokenizers").module.Tokenizer.from_str(fast.backend_tokenizer.to_str())
    tokenizer.enable_truncation(length, direction=fast.truncation_side)
    tokenizer.enable_padding(
        direction=fast.padding_side,
        length=length,
        pad_id=fast.pad_token_id,
        pad_type_id=fast.pad_token_type_id,
        pad_token=fast.pad_token,
    )
    return tokenizer
