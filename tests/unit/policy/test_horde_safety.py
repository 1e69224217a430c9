"""The switch from horde-safety, over a stand-in for its class: our policy decides as the package's rule does."""

from __future__ import annotations

import sys
from importlib import metadata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain import LabelScores, ModelIdentity, PolicyError, Verdict
from serve_app.policy import Policy, evaluate, parse_policy
from serve_app.policy.horde_safety import KNOWN_VERSIONS, installed_lists, policy_text, read_lists
from tests.unit.policy.horde_stand_in import StandInChecker

TEXT = policy_text(read_lists(StandInChecker), "0.0.0", "fake")
POLICY = parse_policy(TEXT, "horde-safety.yaml")
WITH_NSFW = parse_policy(TEXT.replace("verdict: off", "verdict: flag"), "horde-safety.yaml")
PROMPTS = StandInChecker(None, None).prompts
LINES = sorted({*StandInChecker(None, None).all_predicates.values(), 0.208, 0.24})

# Near a line more often than not: on it once rounded, and a little to either side of it.
near_a_line = st.builds(
    lambda line, off: line + off,
    st.sampled_from(LINES),
    st.sampled_from([-2e-2, -1e-4, -5e-5, -4e-5, 0, 4e-5, 6e-5, 1e-4]),
)
cosines = st.one_of(st.just(0.1), st.just(0.1), near_a_line)


def judge(policy: Policy, scores: dict[str, float]) -> Verdict:
    row = np.array([[scores[label] for label in policy.labels]], dtype=np.float32)
    return evaluate(policy, LabelScores(row, 100.0, ModelIdentity("fake", "0" * 64, 8))).verdict


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.fixed_dictionaries(dict.fromkeys(PROMPTS, cosines)))
def test_the_policy_decides_as_the_package_does(scores: dict[str, float]) -> None:
    scores = {prompt: float(np.float32(score)) for prompt, score in scores.items()}
    is_csam, is_nsfw = StandInChecker(scores, None).check_for_nsfw()

    assert judge(POLICY, scores) is (Verdict.REJECT if is_csam else Verdict.ACCEPT)
    assert judge(WITH_NSFW, scores) is (Verdict.REJECT if is_csam else Verdict.FLAG if is_nsfw else Verdict.ACCEPT)


def test_the_stand_in_and_the_policy_meet_every_verdict() -> None:
    quiet = dict.fromkeys(PROMPTS, 0.1)
    sexual, drawn = {"red": 0.25, "shape": 0.25}, {"sketch": 0.25}
    pictures: list[tuple[dict[str, float], Verdict]] = [
        ({}, Verdict.ACCEPT),
        ({"red": 0.25}, Verdict.ACCEPT),  # the gate: no subject
        (sexual, Verdict.FLAG),
        ({**sexual, "dot": 0.25}, Verdict.REJECT),  # enough alone
        ({**sexual, "dot": 0.205, "dots": 0.205}, Verdict.FLAG),  # one thing, in singular and plural
        ({**sexual, "dot": 0.205, "speck": 0.21}, Verdict.REJECT),  # two things
        ({**sexual, **drawn, "dot": 0.195, "grain": 0.215}, Verdict.REJECT),  # a drawing asks for less
        ({**drawn, "crimson": 0.25}, Verdict.ACCEPT),  # and has a list of its own
        ({"sketch": 0.206, "photo of square": 0.25, "crimson": 0.25}, Verdict.FLAG),  # rather a photograph
    ]
    assert [judge(WITH_NSFW, {**quiet, **picture}) for picture, _ in pictures] == [verdict for _, verdict in pictures]


def test_the_text_is_the_same_each_time() -> None:
    assert policy_text(read_lists(StandInChecker), "0.0.0", "fake") == TEXT


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "0.9.0")
    with pytest.raises(
        PolicyError, match=r"horde-safety 0\.9\.0 is installed, and the rules of these versions are known"
    ):
        installed_lists()


def test_a_broken_installation_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: KNOWN_VERSIONS[-1])
    monkeypatch.setitem(sys.modules, "horde_safety", None)
    with pytest.raises(PolicyError, match="cannot be imported: "):
        installed_lists()
