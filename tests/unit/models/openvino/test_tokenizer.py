"""Prompts become the same token ids as in open_clip, without torch."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer, get_clean_fn
from tokenizers import Tokenizer, models, pre_tokenizers

from serve_app.domain import ModelError
from serve_app.models.demo.views import DRAWN_LABELS
from serve_app.models.openvino.conversion import TextCleaning
from serve_app.models.openvino.tokenizer import CLEANING, PromptTokenizer
from serve_app.models.openvino.tokenizer_export import export_tokenizer
from serve_app.policy import load_policy, shipped_policies

# Every assigned character that a person can type or paste: no control characters, no halves of surrogate pairs.
PRINTABLE = st.text(st.characters(exclude_categories=("Cc", "Cn", "Co", "Cs")), max_size=200)
SPECIAL = ("<start_of_text>", "<end_of_text>")


class Both:
    """open_clip's tokenizer, and the same one exported and read again."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self._open_clip = SimpleTokenizer(**options)
        self._exported = PromptTokenizer(folder, export_tokenizer(self._open_clip, folder / "tokenizer.json"))

    def require_equal(self, *prompts: str) -> None:
        expected = self._open_clip(list(prompts)).numpy()
        ids = self._exported(prompts)
        assert ids.dtype == np.int64
        np.testing.assert_array_equal(ids, expected)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.parametrize("policy", [*shipped_policies()])
def test_every_prompt_of_the_shipped_policies_is_the_same(both: Both, policy: str) -> None:
    both.require_equal(*load_policy(f"shipped:{policy}").labels)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "  \n ",
        "A Photograph of a CHILD's toy, it's red &amp; don't fade",
        "x" * 500,
        "word " * 200,
        "“quotes” — ﬁgures ① ½ naïve ÀÉÎ ß İ",
        "日本語 العربية हिन्दी 👩‍👩‍👧 🇫🇷",
        "schÃ¶n",
        "&lt;b&gt; <start_of_text> then <end_of_text> and more",
    ],
)
def test_every_kind_of_text_is_the_same(both: Both, prompt: str) -> None:
    both.require_equal(prompt)


@given(PRINTABLE)
def test_any_printable_text_is_the_same(both: Both, prompt: str) -> None:
    # Where their names are glued to other characters, the special tokens are cut out earlier than by open_clip.
    cleaned = html.unescape(html.unescape(prompt)).lower()
    if not any(special in cleaned for special in SPECIAL):
        both.require_equal(prompt)


@given(st.lists(PRINTABLE, min_size=1, max_size=3))
@pytest.mark.parametrize("name", ["lower", "whitespace", "canonicalize"])
def test_texts_are_cleaned_as_open_clip_cleans_them(name: TextCleaning, texts: list[str]) -> None:
    assert [CLEANING[name](text) for text in texts] == [get_clean_fn(name)(text) for text in texts]


@pytest.mark.parametrize("options", [{"clean": "canonicalize"}, {"clean": "whitespace"}, {"context_length": 8}])
def test_a_tokenizer_keeps_its_options(tmp_path: Path, options: dict[str, Any]) -> None:
    Both(tmp_path, **options).require_equal(*DRAWN_LABELS[:3], "An_Under_Score, and a DOT. " * 4)


def test_a_hugging_face_tokenizer_is_saved_as_it_is_and_pads(tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2, "red": 3, "Shape": 4}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()

    class Fast:
        backend_tokenizer = words
        truncation_side = padding_side = "right"
        pad_token, pad_token_id, pad_token_type_id = "[PAD]", 0, 0

    # Its constructor needs the library transformers, which nothing here has.
    tokenizer = HFTokenizer.__new__(HFTokenizer)
    tokenizer.tokenizer, tokenizer.tokenizer_mode, tokenizer.strip_sep_token = Fast(), "", False
    tokenizer.context_length, tokenizer.clean_fn = 4, get_clean_fn("whitespace")
    assert export_tokenizer(tokenizer, tmp_path / "tokenizer.json") == "whitespace"
    read = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert [read.encode(text).ids for text in ("a red", "a red Shape Shape a")] == [[2, 3, 0, 0], [2, 3, 4, 4]]
    assert words.padding is None, "the model's own tokenizer stays as it was"


@pytest.mark.parametrize("tokenize", [SimpleTokenizer(reduction_mask="simple"), open_clip.tokenize])
def test_a_tokenizer_of_another_kind_is_refused(tmp_path: Path, tokenize: Any) -> None:
    with pytest.raises(ModelError, match="cannot be converted: stay with torch"):
        export_tokenizer(tokenize, tmp_path / "tokenizer.json")
