"""Heads as concepts of a policy: what names them, what they mean, and how they are judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serve_app.domain import HeadFile, LabelScores, ModelIdentity, UnavailableError, Verdict
from serve_app.policy import Policy, evaluate, heads_of, load_policy, parse_policy

DIGEST = "0123456789abcdef" * 4
LABEL = "head/spam@0123456789ab"
MODEL = ModelIdentity("fake + open-nsfw", "0" * 64, 8, parts=(ModelIdentity("fake", "0" * 64, 8),))


def policy_of(file: str = "spam.safetensors", digest: str = DIGEST, name: str = "/etc/pictwarden/p.yaml") -> Policy:
    text = f"""\
policy: p
model: fake
cosine_decimals: 2
concepts:
  adult: {{score: classifier, model: open-nsfw, output: nsfw}}
  spam: {{score: head, file: {file}, digest: {digest}}}
  red: {{score: cosine, prompts: [a red view]}}
rules:
  - {{name: spam, verdict: reject, when: {{concept: spam, above: 0.5049}}}}
"""
    return parse_policy(text, name)


def test_a_head_stands_behind_the_prompts_and_its_file_beside_the_policy() -> None:
    policy = policy_of()
    assert policy.labels == ("a red view", LABEL, "open-nsfw/nsfw")
    assert policy.heads == {LABEL: HeadFile(Path("/etc/pictwarden/spam.safetensors"), DIGEST)}
    assert policy.models == ("fake", "open-nsfw")
    assert policy_of("/var/lib/heads/spam.safetensors").heads[LABEL].file == Path("/var/lib/heads/spam.safetensors")


def test_the_file_stands_beside_a_policy_that_is_loaded_by_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policies").mkdir()
    text = "policy: p\nmodel: fake\nconcepts:\n  spam: {score: head, file: s.safetensors, digest: 0123456789ab}\n"
    text += "rules:\n  - {name: spam, verdict: flag, when: {concept: spam, above: 0.5}}\n"
    Path("policies/p.yaml").write_text(text, "utf-8")
    (head,) = load_policy("policies/p.yaml").heads.values()
    assert head.file == tmp_path / "policies" / "s.safetensors"


def test_where_the_file_lies_and_how_much_of_its_digest_is_written_change_no_meaning() -> None:
    assert policy_of().digest == policy_of("/elsewhere/spam.safetensors", DIGEST[:12].upper()).digest


def test_another_head_is_another_policy() -> None:
    other = policy_of(digest="f" * 64)
    assert other.digest != policy_of().digest
    assert set(other.labels) != set(policy_of().labels)
    assert heads_of(policy_of(), other) == {**policy_of().heads, **other.heads}


def test_of_a_head_that_both_have_the_file_of_the_policy_counts() -> None:
    shadow = policy_of("/elsewhere/spam.safetensors")
    assert heads_of(policy_of(), shadow) == dict(policy_of().heads)


def scores(head: float, cosine: float = 0.0) -> LabelScores:
    return LabelScores(np.array([[cosine, head, 0.0]], np.float32), 10.0, MODEL)


def test_a_head_is_compared_as_it_is_and_only_cosines_are_rounded() -> None:
    # Rounded to two places, 0.5051 would be 0.51 and 0.5047 would be 0.50.
    assert evaluate(policy_of(), scores(0.5051)).verdict is Verdict.REJECT
    assert evaluate(policy_of(), scores(0.5047)).verdict is Verdict.ACCEPT


def test_a_head_is_never_unknown() -> None:
    with pytest.raises(UnavailableError, match="not a finite number"):
        evaluate(policy_of(), scores(np.nan))
