"""Every bad policy in ``policy_errors/`` is refused with exactly the message beside it.

After a change that is meant, write the messages anew and read the difference before committing it::

    PICTWARDEN_UPDATE_GOLDEN=1 pytest tests/golden/test_policy_errors.py
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from serve_app.domain import PolicyError
from serve_app.policy import parse_policy

FOLDER = Path(__file__).parent / "policy_errors"
BAD_POLICIES = sorted(FOLDER.glob("*.yaml"))


def refusal(path: Path) -> PolicyError:
    """The error for one file, which is shown without its folder: that differs from machine to machine."""
    with pytest.raises(PolicyError) as caught:
        parse_policy(path.read_text(encoding="utf-8"), path.name)
    return caught.value


@pytest.mark.parametrize("path", BAD_POLICIES, ids=lambda path: path.stem)
def test_the_message_is_the_golden_one(path: Path) -> None:
    golden = path.with_suffix(".txt")
    message = f"{refusal(path)}\n"
    if os.environ.get("PICTWARDEN_UPDATE_GOLDEN"):
        golden.write_text(message, encoding="utf-8")
    assert message == golden.read_text(encoding="utf-8")


def test_every_golden_message_has_its_policy() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == {path.stem for path in BAD_POLICIES}


def test_the_message_survives_pickling() -> None:
    error = refusal(FOLDER / "unknown_concept.yaml")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
