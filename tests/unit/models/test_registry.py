"""Engines by name: each name that the configuration knows opens one, and imports nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from serve_app.models.registry import OPENERS
from serve_app.settings import EngineName

_OPEN_THE_FAKE = """
import sys
for name in ("torch", "torchvision", "open_clip", "openvino", "nncf", "tokenizers", "ftfy", "PIL", "av"):
    sys.modules[name] = None
from serve_app.models.factory import open_engine
print(open_engine("fake", ("a red view",)).identity.name)
"""


def test_every_name_of_the_configuration_opens_an_engine() -> None:
    assert set(OPENERS) == set(get_args(EngineName))


def test_the_fake_engine_imports_no_library_of_the_others() -> None:
    opened = subprocess.run(
        [sys.executable, "-c", _OPEN_THE_FAKE], check=True, capture_output=True, text=True, timeout=50
    )
    assert opened.stdout.strip() == "fake"


@pytest.mark.parametrize("name", get_args(EngineName))
def test_the_fake_model_is_opened_by_the_fake_engine_whatever_is_configured(name: str) -> None:
    from serve_app.models.factory import open_engine

    assert open_engine("fake", ("a red view",), engine=name).identity.name == "fake"
