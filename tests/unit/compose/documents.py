"""examples/compose and the Dockerfile as the tests of this folder read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "examples" / "compose"
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_STAGE = re.compile(r"^FROM (\S+) AS (\S+)$", re.MULTILINE)


def example_environment() -> dict[str, str]:
    """What ``.env.example`` sets."""
    lines = (FOLDER / ".env.example").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def variables() -> Mapping[str, str]:
    """The variables that ``compose.yaml`` reads, with their defaults."""
    return dict(_VARIABLE.findall((FOLDER / "compose.yaml").read_text("utf-8")))


def compose(environment: Mapping[str, str] = {}) -> dict[str, Any]:
    """``compose.yaml`` with its variables filled in, as Compose does before it reads the values."""
    text = (FOLDER / "compose.yaml").read_text("utf-8")
    filled: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(lambda found: environment.get(found[1]) or found[2], text))
    return filled


def stages() -> Mapping[str, str]:
    """What each stage of the Dockerfile is built on."""
    return {stage: base for base, stage in _STAGE.findall(DOCKERFILE)}


def stage(name: str) -> str:
    """The instructions of one stage."""
    return next(part for part in re.split(r"(?m)^(?=FROM )", DOCKERFILE) if re.match(rf"FROM \S+ AS {name}\n", part))


def environment_of_images() -> dict[str, str]:
    """The ENV of the stage that every image begins with."""
    block = re.search(r"(?m)^ENV ((?:.*\\\n)*.*)$", stage("runtime"))
    assert block is not None
    return dict(each.split("=", 1) for each in block[1].replace("\\\n", " ").split())
