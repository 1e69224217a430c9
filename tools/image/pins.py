"""``make pin-images``: fills in what the images take from a network, which no commit from here could know.

* ``--registry URL`` asks an image registry (OCI Distribution Specification) for the digests of the base image and of
  Redis, for every architecture at once, and writes them into the Dockerfile and the example for KubeRay;
* ``--torch-index URL`` writes torch's index of CPU builds into the Dockerfile, and the hashes of the builds that are as
  new as those of ``requirements/serve.lock`` into ``requirements/torch-cpu.lock``.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path
from typing import Annotated, Final
from urllib.request import parse_http_list, parse_keqv_list

import httpx
import typer
from uv import find_uv_bin

ARCHITECTURES: Final = frozenset({"amd64", "arm64"})
"""Of the images."""

REDIS: Final = Path("examples/kuberay/redis.yaml")
"""Names an image that is not built here."""

_INDEX_TYPES = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
_TORCH = ("torch", "torchvision")


class PinError(Exception):
    """What is to be pinned is not there; the message says what to do."""


def pinned_image(client: httpx.Client, registry: str, image: str) -> str:
    """``NAME:TAG@DIGEST`` of an image that has every one of :data:`ARCHITECTURES`.

    Args:
        client: for the requests.
        registry: the address of the registry's API, without ``/v2``.
        image: ``NAME:TAG``, also with an earlier digest.

    Raises:
        PinError: the registry does not have it, or not for every architecture.
    """
    name, _, tag = image.partition("@")[0].partition(":")
    path = name if "/" in name else f"library/{name}"
    url = f"{registry.rstrip('/')}/v2/{path}/manifests/{tag}"
    response = client.get(url, headers={"Accept": _INDEX_TYPES})
    if response.status_code == httpx.codes.UNAUTHORIZED:
        token = _token(client, response.headers.get("WWW-Authenticate", ""))
        response = client.get(url, headers={"Accept": _INDEX_TYPES, "Authorization": f"Bearer {token}"})
    if response.status_code != httpx.codes.OK:
        raise PinError(f"{url} answers {response.status_code}: check the registry and the name of the image")
    found = {each["platform"]["architecture"] for each in response.json().get("manifests", [])}
    if missing := ARCHITECTURES - found:
        raise PinError(f"{image} has no image for {', '.join(sorted(missing))}: choose a tag that has")
    return f"{name}:{tag}@sha256:{hashlib.sha256(response.content).hexdigest()}"


def _token(client: httpx.Client, challenge: str) -> str:
    """A token for everybody, from where the registry's challenge says."""
    scheme, _, parameters = challenge.partition(" ")
    told = parse_keqv_list(parse_http_list(parameters))
    if scheme.lower() != "bearer" or "realm" not in told:
        raise PinError("the registry wants a password: choose one that everybody may read")
    response = client.get(told.pop("realm"), params=told)
    if response.status_code != httpx.codes.OK:
        raise PinError(f"{response.url} gives no token: it answers {response.status_code}")
    return str(response.json().get("token") or response.json()["access_token"])


def torch_cpu_lock(index: str, lock: str) -> str:
    """Torch's CPU builds of the versions in ``lock``, each with the hashes of its files for every architecture.

    Args:
        index: a simple index of packages.
        lock: the text of a lock that has torch and torchvision.

    Raises:
        PinError: the index does not have these versions.
    """
    wanted = [f"{name}=={_version(name, lock)}+cpu" for name in _TORCH]
    command = [find_uv_bin(), "pip", "compile", "--quiet", "--no-deps", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-annotate", "--no-header", "--no-config", "--default-index", index, "-"]
    done = subprocess.run(  # noqa: S603 - uv
        command, input="\n".join(wanted), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PinError(f"{index} does not have {' and '.join(wanted)}:\n{done.stderr.strip()}")
    return done.stdout


def _version(name: str, lock: str) -> str:
    found = re.search(rf"^{name}==([\w.]+)", lock, re.MULTILINE)
    if found is None:
        raise PinError(f"the lock does not have {name}")
    return found[1]


def argument(name: str, dockerfile: str) -> str:
    """The default of a build argument.

    Raises:
        PinError: the Dockerfile has no such argument.
    """
    found = re.search(rf"^ARG {name}=(.*)$", dockerfile, re.MULTILINE)
    if found is None:
        raise PinError(f"the Dockerfile has no line ARG {name}=")
    return found[1]


def with_argument(name: str, value: str, dockerfile: str) -> str:
    """The Dockerfile with another default of a build argument.

    Raises:
        PinError: it has no such argument.
    """
    return dockerfile.replace(f"ARG {name}={argument(name, dockerfile)}\n", f"ARG {name}={value}\n")


def _image_of(manifest: str) -> str:
    found = re.search(r"^ *image: (\S+)$", manifest, re.MULTILINE)
    if found is None:
        raise PinError(f"{REDIS} has no line image:")
    return found[1]


def pin(
    registry: Annotated[str | None, typer.Option(help="Address of the API of the base image's registry.")] = None,
    torch_index: Annotated[str | None, typer.Option(help="Index of torch's CPU builds.")] = None,
    folder: Annotated[Path, typer.Option(help="The clone.")] = Path(),
) -> None:
    """Write the digests of images and the index of torch's CPU builds into the files that name them."""
    file, redis = folder / "Dockerfile", folder / REDIS
    dockerfile, manifest = file.read_text("utf-8"), redis.read_text("utf-8")
    if registry is None and torch_index is None:
        raise typer.BadParameter("nothing to pin: give --registry or --torch-index")
    try:
        if registry is not None:
            with httpx.Client(follow_redirects=True) as client:
                image = pinned_image(client, registry, argument("PYTHON_IMAGE", dockerfile))
                redis_image = pinned_image(client, registry, _image_of(manifest))
            dockerfile = with_argument("PYTHON_IMAGE", image, dockerfile)
            manifest = manifest.replace(f"image: {_image_of(manifest)}\n", f"image: {redis_image}\n")
            typer.echo(f"base image: {image}\nRedis: {redis_image}")
        if torch_index is not None:
            lock = torch_cpu_lock(torch_index, (folder / "requirements" / "serve.lock").read_text("utf-8"))
            (folder / "requirements" / "torch-cpu.lock").write_text(lock, "utf-8")
            dockerfile = with_argument("TORCH_CPU_INDEX", torch_index, dockerfile)
            typer.echo("torch's CPU builds: requirements/torch-cpu.lock")
    except (PinError, httpx.HTTPError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    file.write_text(dockerfile, "utf-8")
    redis.write_text(manifest, "utf-8")


def main() -> None:
    """Entry point."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(pin)
    app()


if __name__ == "__main__":
    main()
