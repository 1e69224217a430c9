"""The policies and the error that docs/policy.md shows are real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serve_app.domain import PolicyError
from serve_app.policy import parse_policy

PAGE = (Path(__file__).parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")
POLICIES = re.findall(r"^```yaml\n(policy: .*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
(ERROR,) = re.findall(r"^```text\n(\S+\.yaml:.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_policies_on_the_page_are_policies() -> None:
    names = [parse_policy(text, "p.yaml").name for text in POLICIES]
    assert names == ["cats-on-sofas", "cats-and-dogs", "no-sexual-content"]


def test_the_error_on_the_page_is_the_one_that_is_shown() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(POLICIES[0].replace("{concept: cat,", "{concept: cta,"), "cats.yaml")
    assert str(caught.value) == ERROR.rstrip("\n")
