"""The decoders that Pillow does not bring along: registered by a call, and missed at start rather than at an upload."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
from pathlib import Path

from serve_app.domain import SettingsError, last_words

_PACKAGES = {
    "pillow_heif": ("HEIC", "pillow-heif"),
    "pillow_jxl": ("JPEG XL", "pillow-jxl-plugin"),
    "av": ("MP4 and WebM", "av"),
}
"""Importable module: what it reads, and the name it is installed by."""

_PILLOW_FEATURES = {
    "avif": "AVIF",
    "jpg": "JPEG",
    "libtiff": "TIFF",
    "littlecms2": "a picture's colour profile",
    "webp": "WebP",
    "zlib": "PNG",
}
"""Name in :mod:`PIL.features`: what it reads. Pillow's wheels have them all; a Pillow built on the spot may not."""


def require_decoders() -> None:
    """Make sure that every type we promise to read can be read, by loading what reads it: some tenths of a second.

    A process of its own loads it: decode workers read the pictures, and 20 MB would stay with their owner for nothing.

    Raises:
        SettingsError: a decoder is missing or cannot be loaded; the message names all that are, and the way out.
    """
    asked = "from serve_app.media.decoder_plugins import missing_decoders; print(*missing_decoders(), sep='; ')"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)}
    ran = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-P", "-c", asked], env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        reason = last_words(ran.stderr) or f"the process ended with {ran.returncode}"
        raise SettingsError(f"the libraries that read pictures cannot be loaded: {reason}")
    if missing := ran.stdout.strip():
        raise SettingsError(missing)


def missing_decoders() -> list[str]:
    """What cannot be read, a line for each library that is missing or cannot be loaded, with the way out.

    It loads them all into this process.
    """
    from PIL import features  # not above: the owner of decode workers imports this module, and needs no Pillow

    return [
        f"{reads} cannot be read without the package {package}: pip install {package}"
        for module, (reads, package) in _PACKAGES.items()
        if not _can_load(module)
    ] + [
        f"{reads} cannot be read by this build of Pillow, which lacks {feature}: pip install --only-binary :all: pillow"
        for feature, reads in _PILLOW_FEATURES.items()
        if not features.check(feature)
    ]


@functools.cache
def register_decoders() -> None:
    """Teach Pillow to read HEIF, and let its decoders use one thread each. Once per process; further calls do nothing.

    Thumbnails stay off, or Pillow would be shown a second, smaller picture that nobody compared with the first. Depth
    maps and auxiliary pictures (gain maps) are not shown by viewers, and cost time.

    Raises:
        ImportError: pillow-heif is missing; :func:`require_decoders` says so at start.
    """
    # Here and not above: without this package the others must still be importable, so that the error can be told.
    from PIL import AvifImagePlugin
    from pillow_heif import register_heif_opener

    # The cores are shared out by the preprocessor, one picture each.
    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def _can_load(module: str) -> bool:
    try:
        importlib.import_module(module)
        if module == "pillow_heif":
            register_decoders()  # which misses the library behind the package only when it is asked for something
    except ImportError:
        return False
    return True
