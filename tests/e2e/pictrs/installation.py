"""The command that builds the pict-rs of these tests, and what it needs to run in full mode.

``python -m tests.e2e.pictrs.installation`` builds it with cargo, once: the cache is outside the repository, and every
checkout shares it. The build takes three minutes on two idle cores, 1.5 GB of memory, and no system library.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping

from benchmarks.pictrs_process import BINARY, FOLDER, VERSION

FULL_MODE_PROGRAMS = {"ffmpeg": "ffmpeg", "ffprobe": "ffmpeg", "exiftool": "libimage-exiftool-perl"}
"""What pict-rs runs in full mode, and Debian's packages of it."""

NEED_MAGICK: Mapping[str, str] = {"avif": "AVIF", "jxl": "JXL", "animated webp": "WEBP"}
"""Types of which pict-rs in full mode asks ImageMagick 7, and ImageMagick's names of them."""

_CARGO_MISSING = f"cargo is not installed: the tests with a real pict-rs {VERSION} are skipped"


def missing_for_full_mode() -> str | None:
    """What is not installed of what the full mode needs, and how to install it; None where all is there."""
    missing = sorted({package for program, package in FULL_MODE_PROGRAMS.items() if shutil.which(program) is None})
    return f"pict-rs's full mode needs `apt-get install {' '.join(missing)}`" if missing else None


@functools.cache
def magick_formats() -> frozenset[str]:
    """The formats that an installed ImageMagick 7 reads; none without one."""
    program = shutil.which("magick")
    if program is None:
        return frozenset()
    listed = subprocess.run([program, "-list", "format"], capture_output=True, text=True, check=True).stdout
    # A star behind a format says that it has more than one bit depth: WEBP* WEBP rw+.
    return frozenset(re.findall(r"^ *(\S+?)\*? +\S+ +r", listed, re.MULTILINE))


def skipped_in_full_mode() -> Iterator[str]:
    """Lines that say which tests in full mode are skipped here, and what they need."""
    if missing := missing_for_full_mode():
        yield f"{missing}: the tests in full mode are skipped"
    if unread := sorted(set(NEED_MAGICK.values()) - magick_formats()):
        yield (
            f"pict-rs's full mode needs ImageMagick 7 (a program called `magick`) that reads {', '.join(unread)}: the "
            "tests of these types in full mode are skipped"
        )


def main() -> int:
    """Build what is missing, and name what else is. The exit code is cargo's; 0 without cargo or anything to do."""
    for line in skipped_in_full_mode():
        print(line, flush=True)
    if BINARY.is_file():
        return 0
    cargo = shutil.which("cargo")
    if cargo is None:
        print(_CARGO_MISSING)
        return 0
    print(f"building pict-rs {VERSION} into {FOLDER}, once", flush=True)
    # A debug build behaves as a release does and takes less than half the time; without debug information it is 115 MB.
    command = [cargo, "install", "pict-rs", "--version", VERSION, "--locked", "--debug", "--root", str(FOLDER)]
    return subprocess.run(command, env={**os.environ, "CARGO_PROFILE_DEV_DEBUG": "0"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
