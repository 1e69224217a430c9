"""``make image-sizes``: how large the images' libraries are on each architecture, without an engine to build them.

Each target's requirements are read from the Dockerfile, installed into a folder as its stage installs them, and slimmed
down with the same script. What is not in these figures: the base image, and 6 MB of Pictwarden itself.

torch's CPU build comes from an index that may be out of reach. Its place is taken by the build of the default index
without its CUDA libraries: both hold the same code for CPUs.
"""

from __future__ import annotations

import os
import re
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer
from uv import find_uv_bin

ROOT: Final = Path(__file__).parents[2]
PLATFORMS: Final = {"amd64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
"""uv's words for the architectures of images."""

CPU_TORCH: Final = "cpu-torch"

MAX_COMPRESSED_BYTES: Final = {"cpu": 350_000_000, CPU_TORCH: 1_200_000_000}
"""The limits of images, as a registry stores and sends them. CUDA decides how large the others are."""

BASE_COMPRESSED_BYTES: Final = 60_000_000
"""What an image has beside its libraries: the base image and Pictwarden, rounded up."""

_PYTHON = "3.11"
_BUILDS = "editables|hatchling|pathspec|pluggy|tomlkit|trove-classifiers"
_LEFT_OUT = re.compile(rf"^(triton|nvidia-[a-z0-9-]+|cuda-[a-z]+|{_BUILDS})==(?:.*\\\n)*.*\n", re.MULTILINE)
_CUDA_LIBRARIES = ("libtorch_cuda*", "libc10_cuda*", "libtorch_nvshmem*", "libcaffe2_nvrtc*", "libcu*", "libnv*")


@dataclass(frozen=True, slots=True)
class Libraries:
    """What a target's stage installs: extras of pyproject.toml at the versions of a lock."""

    extras: tuple[str, ...]
    lock: str

    @property
    def arguments(self) -> list[str]:
        """Of ``uv pip install``."""
        extras = [argument for extra in self.extras for argument in ("--extra", extra)]
        return ["-r", "pyproject.toml", *extras, "--constraint", self.lock]


def libraries_of(target: str, dockerfile: str) -> Libraries:
    """What the stage ``libraries-TARGET`` of the Dockerfile installs.

    Raises:
        ValueError: there is no such stage, or it installs a whole lock.
    """
    stage = re.search(rf"(?ms)^FROM build AS libraries-{re.escape(target)}$.*?(?=^FROM )", dockerfile)
    found = stage and re.search(r"uv pip install -r pyproject\.toml (.*?)--constraint (\S+)", stage[0], re.DOTALL)
    if not found:
        raise ValueError(f"the Dockerfile has no stage libraries-{target} with extras and a lock")
    return Libraries(tuple(re.findall(r"--extra (\S+)", found[1])), found[2])


def without_cuda(lock: str) -> str:
    """The lock without the packages that only torch's CUDA builds need, and those that build a wheel."""
    return _LEFT_OUT.sub("", lock)


def install(target: str, architecture: str, environment: Path) -> None:
    """Install and slim down what the image has, into ``environment/lib/python3.11/site-packages``."""
    packages = environment / "lib" / f"python{_PYTHON}" / "site-packages"
    # Copied, since what is stripped must not be a file of uv's cache.
    command = [find_uv_bin(), "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"]
    command += ["--link-mode", "copy", "--compile-bytecode", "--target", str(packages)]
    command += ["--python-version", _PYTHON, "--python-platform", PLATFORMS[architecture]]
    if target == CPU_TORCH:
        rest = environment / "rest.lock"
        environment.mkdir(exist_ok=True)
        rest.write_text(without_cuda((ROOT / "requirements" / "serve.lock").read_text("utf-8")), "utf-8")
        _run([*command, "--no-deps", "-r", str(rest)])
        rest.unlink()
    else:
        _run([*command, *libraries_of(target, (ROOT / "Dockerfile").read_text("utf-8")).arguments])
    # The strip of this machine knows its own architecture alone: the other one is an upper bound.
    is_native = PLATFORMS[architecture].startswith(os.uname().machine)
    _run(["sh", "tools/image/slim.sh", str(environment)], STRIP="strip" if is_native else "true")
    if target == CPU_TORCH:
        for pattern in _CUDA_LIBRARIES:
            for library in (packages / "torch" / "lib").glob(pattern):
                library.unlink()


def _run(command: list[str], **environment: str) -> None:
    subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True)  # noqa: S603 - uv and our script


def size_bytes(folder: Path) -> int:
    """Of all files in a folder."""
    return sum(file.stat().st_size for file in _files(folder))


def compressed_bytes(folder: Path) -> int:
    """About what a registry stores and sends: layers are compressed with gzip."""
    compressor, length = zlib.compressobj(6), 0
    for file in _files(folder):
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                length += len(compressor.compress(chunk))
    return length + len(compressor.flush())


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file() and not file.is_symlink())


def sizes(
    targets: Annotated[
        list[str] | None, typer.Argument(help="cpu, cpu-torch, cuda, ray; default: the first two.")
    ] = None,
    architecture: Annotated[str, typer.Option(help="amd64 or arm64.")] = "amd64",
) -> None:
    """Print the size of each target's libraries in a row of a table; fail if an image is larger than its limit."""
    too_large = []
    for target in targets or ["cpu", CPU_TORCH]:
        with TemporaryDirectory(prefix="image-sizes-", ignore_cleanup_errors=True) as folder:
            install(target, architecture, Path(folder))
            unpacked, compressed = size_bytes(Path(folder)), compressed_bytes(Path(folder))
        typer.echo(f"| {target} | {architecture} | {unpacked / 1e6:.0f} MB | {compressed / 1e6:.0f} MB |")
        limit = MAX_COMPRESSED_BYTES.get(target)
        if limit is not None and compressed + BASE_COMPRESSED_BYTES > limit:
            too_large.append(f"{target} with its base is larger than {limit / 1e6:.0f} MB, compressed")
    if too_large:
        typer.echo("\n".join(too_large), err=True)
        raise typer.Exit(1)


def main() -> None:
    """Entry point."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(sizes)
    app()


if __name__ == "__main__":
    main()
