"""The Dockerfile: hadolint finds nothing, and every image runs as a user without rights."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from serve_app.host.state_folder import STATE_ENV
from tests.unit.compose.documents import DOCKERFILE, ROOT, environment_of_images, stage, stages

IMAGES = ("cpu", "cpu-torch", "cuda", "ray")
HADOLINT = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed here")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([HADOLINT or "", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_images_are_those_that_the_first_lines_name() -> None:
    assert {name for name, base in stages().items() if base == "runtime"} == set(IMAGES)
    assert re.findall(r"(?m)^#   (\S+)  ", DOCKERFILE) == list(IMAGES)
    last = list(stages())[-1]
    assert stages()[last] == "cpu", "what is built without --target holds no CUDA"


def test_every_image_runs_as_a_user_without_rights() -> None:
    assert re.findall(r"(?m)^USER (.*)$", stage("runtime")) == ["10001:10001"]
    assert not any("USER" in stage(name) for name in IMAGES)


def test_an_image_has_the_libraries_of_its_own_and_the_application() -> None:
    for name in IMAGES:
        assert re.findall(r"--from=(\S+) ", stage(name)) == [f"libraries-{name}", "application"]


def test_what_it_writes_is_in_the_folders_of_its_user() -> None:
    variables = environment_of_images()
    folders = re.search(r"install --directory --mode 0700 --owner 10001 --group 10001 (.*) \\", stage("runtime"))
    assert folders is not None
    private = folders[1].split()
    assert private == [variables[STATE_ENV], variables["XDG_CACHE_HOME"]]
    written = ("HOME", "HF_HOME", "TORCHINDUCTOR_CACHE_DIR")
    assert all(variables[name].startswith(private[1]) for name in written)


def test_the_image_for_clusters_has_a_first_process_that_reaps() -> None:
    """Static, because it comes from another stage. Compose gives every container an init of Docker's."""
    assert re.search(r"apt-get install .* tini ", stage("build"))
    assert '&& install /usr/bin/tini-static "$VIRTUAL_ENV/bin/tini"\n' in stage("libraries-ray")
    assert "PATH=/opt/pictwarden/bin:" in stage("runtime")


def test_its_health_check_is_a_module() -> None:
    found = re.search(r"HEALTHCHECK .* CMD (\[.*\])", stage("runtime"))
    assert found is not None
    *python, module = json.loads(found[1])
    assert python == ["python", "-m"]
    assert importlib.util.find_spec(module) is not None


def test_it_gets_the_signal_at_which_the_service_answers_what_is_inside() -> None:
    assert "\nSTOPSIGNAL SIGTERM\n" in stage("runtime")
    forms = [command for name in IMAGES for command in re.findall(r"(?m)^(?:ENTRYPOINT|CMD) (.*)$", stage(name))]
    assert len(forms) == 7
    assert all(command.startswith("[") for command in forms), "a shell in between would keep the signal"


def test_every_file_that_is_copied_is_sent_to_the_engine() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    allowed = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert lines[1] == "*"
    copied = [source for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", DOCKERFILE) for source in line.split()[:-1]]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert any(fnmatch(source.rstrip("/"), pattern) or source.startswith(f"{pattern}/") for pattern in allowed)
    assert all((ROOT / pattern).exists() for pattern in allowed)
    assert not any("pictwarden" in pattern or "env" in pattern for pattern in allowed), "state and secrets stay"


def test_every_package_has_a_hash() -> None:
    """The one exception is Pictwarden itself."""
    assert "UV_REQUIRE_HASHES=1" in stage("build")
    unhashed = [line for line in DOCKERFILE.splitlines() if "UV_REQUIRE_HASHES=0" in line]
    assert len(unhashed) == 1
    assert "--no-deps --no-build-isolation ." in unhashed[0]
    assert "--require-hashes" in stage("build")


@pytest.mark.parametrize(("image", "is_pinned"), [("python:3.11", False), (f"python:3.11@sha256:{'0' * 64}", True)])
def test_a_build_with_an_unpinned_base_warns_and_the_image_tells_its_base(image: str, is_pinned: bool) -> None:
    (script,) = re.findall(r"ARG PYTHON_IMAGE\nRUN ((?:.*\\\n)*.*\n)", stage("build"))
    command, environment = ["/bin/sh", "-c", script], {"PYTHON_IMAGE": image}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert (done.stderr == "") == is_pinned
    assert is_pinned or f"WARNING: {image} may be another image tomorrow: `make pin-images`" in done.stderr
    assert "ARG PYTHON_IMAGE\n" in stage("runtime")
    assert "org.opencontainers.image.base.name=$PYTHON_IMAGE " in stage("runtime")


def test_a_build_fails_if_a_library_is_not_imported_after_slimming() -> None:
    """The big ones; ``-B`` adds no bytecode to the layer."""
    imports = {"nsfw": "onnxruntime", "clip": "open_clip", "ray": "ray.serve"}
    for name in IMAGES:
        text = stage(f"libraries-{name}")
        # The stage cpu-torch installs a lock, which has the libraries of the one for GPUs.
        extras = re.findall(r"--extra (\S+)", text) or ["nsfw", "clip"]
        found = re.search(r'slim\.sh "\$VIRTUAL_ENV" \\\n    && "\$VIRTUAL_ENV/bin/python" -B -c "import (.*)"', text)
        assert found is not None, name
        assert set(found[1].split(", ")) == {imports[extra] for extra in extras if extra in imports}
