"""``make image-sizes``: it reads from the Dockerfile what the images hold, and leaves out what they leave out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from tools.image.sizes import (
    BASE_COMPRESSED_BYTES,
    CPU_TORCH,
    MAX_COMPRESSED_BYTES,
    ROOT,
    compressed_bytes,
    libraries_of,
    size_bytes,
    sizes,
    without_cuda,
)

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
SERVE_LOCK = (ROOT / "requirements" / "serve.lock").read_text("utf-8")


def names(lock: str) -> list[str]:
    return re.findall(r"(?m)^([\w.-]+)==", lock)


def test_the_libraries_are_those_of_the_dockerfile() -> None:
    cpu, ray = libraries_of("cpu", DOCKERFILE), libraries_of("ray", DOCKERFILE)
    assert (cpu.extras, cpu.lock) == (("notices", "nsfw", "otel", "postgres"), "requirements/serve-converted.lock")
    assert (ray.extras, ray.lock) == (("clip", "notices", "nsfw", "otel", "postgres", "ray"), "requirements/run.lock")
    assert not {"torch", "triton"} & set(names((ROOT / cpu.lock).read_text("utf-8")))


def test_a_stage_that_is_not_there_is_told() -> None:
    with pytest.raises(ValueError, match="no stage libraries-none"):
        libraries_of("none", DOCKERFILE)


def test_without_cuda_the_lock_is_whole() -> None:
    left = without_cuda(SERVE_LOCK)
    gone = [name for name in names(SERVE_LOCK) if name not in names(left)]
    assert gone
    builds = {"editables", "hatchling", "pathspec", "pluggy", "tomlkit", "trove-classifiers"}
    assert {name for name in gone if not name.startswith(("nvidia-", "cuda-"))} == {"triton", *builds}
    assert all(re.match(r"[\w.-]+==|    --hash=", line) for line in left.splitlines())


def test_the_dockerfile_leaves_the_same_out_and_torch_too(tmp_path: Path) -> None:
    """Its line for sed, run by sed."""
    scripts = [option for script in re.findall(r"-e '([^']+)'", DOCKERFILE) for option in ("-e", script)]
    assert scripts
    done = subprocess.run(["sed", "-E", *scripts], input=SERVE_LOCK, capture_output=True, text=True, check=True)
    assert names(done.stdout) == [
        name for name in names(without_cuda(SERVE_LOCK)) if name not in ("torch", "torchvision")
    ]
    assert all(line in SERVE_LOCK.splitlines() for line in done.stdout.splitlines())


def test_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "zeros").write_bytes(bytes(100_000))
    (tmp_path / "a file").write_bytes(b"1")
    assert size_bytes(tmp_path) == 100_001
    assert 0 < compressed_bytes(tmp_path) < 1000


@pytest.mark.parametrize(("beyond_bytes", "code"), [(-1_000_000, 0), (1_000_000, 1)])
def test_an_image_beyond_its_limit_is_a_failure(monkeypatch: pytest.MonkeyPatch, beyond_bytes: int, code: int) -> None:
    """As a registry stores it: with the base, and compressed."""
    libraries_bytes = 3_000_000

    def install(_target: str, _architecture: str, environment: Path) -> None:
        (environment / "incompressible").write_bytes(os.urandom(libraries_bytes))
        (environment / "compressible").write_bytes(bytes(2 * libraries_bytes))

    limit = BASE_COMPRESSED_BYTES + libraries_bytes - beyond_bytes
    monkeypatch.setattr("tools.image.sizes.install", install)
    monkeypatch.setitem(MAX_COMPRESSED_BYTES, CPU_TORCH, limit)
    app = typer.Typer()
    app.command()(sizes)
    done = CliRunner().invoke(app, [CPU_TORCH, "cuda"])
    assert done.exit_code == code
    assert "| cpu-torch | amd64 | 9 MB | 3 MB |\n| cuda | amd64 | 9 MB | 3 MB |\n" in done.output
    assert ("cpu-torch with its base is larger than" in done.output) == bool(code)


def test_the_guide_has_the_limits_and_says_of_which_size() -> None:
    guide = (ROOT / "docs" / "install-compose.md").read_text("utf-8")
    cpu, cpu_torch = MAX_COMPRESSED_BYTES["cpu"], MAX_COMPRESSED_BYTES[CPU_TORCH]
    said = f"our limits are for: {cpu / 1e6:.0f} MB for `cpu`, {cpu_torch / 1e9:.1f} GB for `cpu-torch`."
    assert f"Compressed is what a registry stores and sends, and what {said}" in guide


@pytest.mark.skipif(shutil.which("strip") is None, reason="strip is not installed here")
def test_slimming_leaves_what_is_imported(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    kept = [
        "one/__init__.py",
        "one/testing/__init__.py",
        "one/include/a.py",
        "torch/lib/libtorch.so",
        "torch/__pycache__/a.pyc",
    ]
    gone = [
        "one/tests/test_a.py",
        "one/a.pyi",
        "one/liba.a",
        "torch/include/a.h",
        "onnxruntime/capi/libonnxruntime.so.1",
    ]
    for name in (*kept, *gone):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text("# nothing", "ascii")
    library = next(Path(yaml.__path__[0]).glob("_yaml*.so"))
    (packages / library.name).write_bytes(library.read_bytes())
    subprocess.run(["sh", ROOT / "tools" / "image" / "slim.sh", tmp_path], check=True)
    assert all((packages / name).exists() for name in kept)
    assert not any((packages / name).exists() for name in gone)
    assert 0 < (packages / library.name).stat().st_size < library.stat().st_size


SLIM = ROOT / "tools" / "image" / "slim.sh"


@pytest.mark.slow
def test_what_the_images_import_is_imported_after_slimming(tmp_path: Path) -> None:
    """In folders of the test's own with links to the files that are installed here: the script removes links alone."""
    for name in ("onnxruntime", "torch"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed here")
    installed, packages = Path(yaml.__path__[0]).parent, tmp_path / "lib" / "python3.11" / "site-packages"
    # torch also looks for its files where its metadata are.
    for pattern in ("numpy", "numpy.libs", "onnxruntime", "torch", "torch-*.dist-info"):
        (folder,) = installed.glob(pattern)
        shutil.copytree(
            folder, packages / folder.name, copy_function=os.symlink, ignore=shutil.ignore_patterns("include", "*.pyi")
        )
    subprocess.run(["sh", SLIM, tmp_path], check=True, env={**os.environ, "STRIP": "true"})
    program = "import numpy, onnxruntime, torch; print(torch.__file__, torch.ones(2).sum().item())"
    done = subprocess.run(
        [sys.executable, "-B", "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(packages)},
    )
    assert (done.stdout, done.returncode) == (f"{packages}/torch/__init__.py 2.0\n", 0), done.stderr
