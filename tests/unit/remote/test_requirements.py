"""The heads that a front sends to its workers: read and checked at its start."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from serve_app.domain import ModelError, SettingsError
from serve_app.policy import Policy, parse_policy
from serve_app.remote.frames import MAX_HEAD_BYTES, MAX_HEADS
from serve_app.remote.requirements import heads_to_send


def policy_of(folder: Path, *contents: bytes, digest: str | None = None) -> Policy:
    concepts = []
    for number, content in enumerate(contents):
        (folder / f"{number}.safetensors").write_bytes(content)
        named = digest or hashlib.sha256(content).hexdigest()
        concepts.append(f"  spam{number}: {{score: head, file: {number}.safetensors, digest: '{named}'}}\n")
    text = f"policy: p\nmodel: fake\nconcepts:\n{''.join(concepts)}rules:\n"
    text += "  - {name: spam, verdict: flag, when: {concept: spam0, above: 0.5}}\n"
    return parse_policy(text, str(folder / "p.yaml"))


def test_each_is_sent_once_as_it_is(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, b"one", b"two")
    sent = heads_to_send(policy.heads)
    assert sent == dict(zip(policy.heads, (b"one", b"two"), strict=True))
    assert heads_to_send({}) == {}


def test_another_file_than_the_policy_names_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not the one that the policy names"):
        heads_to_send(policy_of(tmp_path, b"one", digest="a" * 12).heads)
    policy = policy_of(tmp_path, b"one")
    (tmp_path / "0.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        heads_to_send(policy.heads)


def test_too_many_and_too_large_ones_are_told_with_the_way_out(tmp_path: Path) -> None:
    heads_to_send(policy_of(tmp_path, bytes(MAX_HEAD_BYTES)).heads)
    with pytest.raises(SettingsError, match=r"has 16385 bytes, and at most 16384 are sent.*score here"):
        heads_to_send(policy_of(tmp_path, bytes(MAX_HEAD_BYTES + 1)).heads)
    with pytest.raises(SettingsError, match=r"have 33 heads, and at most 32 are sent.*score here"):
        heads_to_send(policy_of(tmp_path, *(bytes([number]) for number in range(MAX_HEADS + 1))).heads)
