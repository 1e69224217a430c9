"""The manifests of examples/kuberay as `kubectl apply -k` would send them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documentation.pages import commands_of

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "kuberay"
Manifest = dict[str, Any]


@pytest.fixture(scope="session")
def rayservice() -> Manifest:
    """The RayService as it stands in its file, without the configuration that kustomize puts into it."""
    manifest: Manifest = yaml.safe_load((EXAMPLE / "rayservice.yaml").read_text("utf-8"))
    return manifest


@pytest.fixture(scope="session")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """All manifests: what the documented commands print."""
    for program in ("kubectl", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed here")
    folder = tmp_path_factory.mktemp("kustomize")
    shutil.copytree(EXAMPLE, folder / "examples" / "kuberay", ignore=shutil.ignore_patterns("secrets"))
    (documented,) = [each for each in commands_of("docs/kuberay.md") if "kubectl kustomize" in each.body]
    command = ["bash", "-ec", documented.body]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True, cwd=folder)
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="session")
def plain_files() -> list[Manifest]:
    """The manifests of Kubernetes' own kinds."""
    names = ("namespace.yaml", "redis.yaml", "network.yaml", "disruption.yaml")
    return [each for name in names for each in yaml.safe_load_all((EXAMPLE / name).read_text("utf-8"))]
