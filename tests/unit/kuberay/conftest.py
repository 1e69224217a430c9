"""The manifests of examples/kuberay as `kubectl apply -k` would send them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "kuberay"
SECRETS = {
    "pictwarden.env": "PICTWARDEN_SECRETS=a-secret-of-sixteen-characters\nPGPASSWORD=of-postgres\n",
    "ray.env": "auth_token=0123456789abcdef\n",
    "redis.env": "password=of-redis\n",
}

Manifest = dict[str, Any]


@pytest.fixture(scope="session")
def rayservice() -> Manifest:
    """The RayService as it stands in its file, without the configuration that kustomize puts into it."""
    manifest: Manifest = yaml.safe_load((EXAMPLE / "rayservice.yaml").read_text("utf-8"))
    return manifest


@pytest.fixture(scope="session")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """All manifests, with secrets."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed here")
    folder = tmp_path_factory.mktemp("kustomize") / "kuberay"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("secrets"))
    (folder / "secrets").mkdir()
    for name, text in SECRETS.items():
        (folder / "secrets" / name).write_text(text, "utf-8")
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="session")
def plain_files() -> list[Manifest]:
    """The manifests of Kubernetes' own kinds."""
    names = ("namespace.yaml", "redis.yaml", "network.yaml", "disruption.yaml")
    return [each for name in names for each in yaml.safe_load_all((EXAMPLE / name).read_text("utf-8"))]
