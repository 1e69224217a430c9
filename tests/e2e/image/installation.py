"""The image of these tests: ``python -m tests.e2e.image.installation`` builds the target ``cpu`` for real.

Its base is made here by debootstrap, since no image registry need be within reach: Debian with its own Python. It needs
root and Debian's buildah, debootstrap and podman, and takes two minutes; elsewhere nothing is built, and the tests are
skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[3]
BASE = "localhost/pictwarden-tests-base"
IMAGE = "localhost/pictwarden-tests-cpu"
SUITE = "bookworm"
"""Debian's release with the Python of the images."""

TOOLS = ("buildah", "debootstrap", "podman")

# What Docker's slim images leave out too.
_DOCUMENTATION = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "var/lib/apt/lists",
    "var/cache/apt",
)

# How pip and uv reach packages from here, whatever that takes. It stays in this base alone.
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")


def missing() -> str:
    """Why nothing can be built here; empty if it can."""
    if lacking := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"{', '.join(lacking)}: not installed here (Debian's packages have these names)"
    return "" if os.geteuid() == 0 else "a base can be made by root alone"


def mirror() -> str:
    """Where apt gets its packages from."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return next(line.split()[0] for line in lines if line.endswith(f" {SUITE}"))


def make_base() -> None:
    """A Debian with Python, as small as Docker's slim images."""
    with TemporaryDirectory(prefix="pictwarden-base-") as folder:
        base = Path(folder) / "base"
        packages = "--include=ca-certificates,python3,python3-venv"
        subprocess.run(["debootstrap", "--variant=minbase", packages, SUITE, str(base), mirror()], check=True)
        for name in _DOCUMENTATION:
            shutil.rmtree(base / name)
            (base / name).mkdir(parents=True)
        shutil.copy(_CERTIFICATES, base / _CERTIFICATES.relative_to("/"))
        container = _buildah("from", "scratch")
        _buildah("add", "--quiet", container, str(base), "/")
        variables = {"PIP_CERT": str(_CERTIFICATES), "SSL_CERT_FILE": str(_CERTIFICATES)}
        variables |= {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        for name, value in variables.items():
            _buildah("config", "--env", f"{name}={value}", container)
        _buildah("commit", "--quiet", container, BASE)
        _buildah("rm", container)


def build() -> None:
    """The target ``cpu``, from the working tree."""
    # This isolation needs no control groups, which not every machine has as a runtime wants them.
    command = ["buildah", "build", "--isolation", "chroot", "--layers", "--format", "docker"]
    command += ["--target", "cpu", "--tag", IMAGE]
    subprocess.run([*command, "--build-arg", f"PYTHON_IMAGE={BASE}", str(ROOT)], check=True)


def sizes_bytes(image: str) -> tuple[int, int]:
    """Of an image: unpacked, and compressed as a registry has it."""
    with TemporaryDirectory(prefix="pictwarden-image-") as folder:
        _buildah("push", "--quiet", image, f"dir:{folder}")
        manifest = json.loads((Path(folder) / "manifest.json").read_text("utf-8"))
    unpacked = json.loads(subprocess.run(["podman", "inspect", image], capture_output=True, check=True).stdout)
    return unpacked[0]["Size"], sum(layer["size"] for layer in manifest["layers"])


def _buildah(*arguments: str) -> str:
    return subprocess.run(["buildah", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    """Build what is missing, and say how large it is."""
    if why := missing():
        print(f"{why}: the image is not built, and the tests with it are skipped")
        return 0
    if subprocess.run(["buildah", "images", BASE], capture_output=True, check=False).returncode != 0:
        make_base()
    build()
    for image in (BASE, IMAGE):
        unpacked, compressed = sizes_bytes(image)
        print(f"{image}: {unpacked / 1e6:.0f} MB, {compressed / 1e6:.0f} MB compressed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
