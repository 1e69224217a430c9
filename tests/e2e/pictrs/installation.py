"""The pict-rs of these tests: its version, where its binary is cached, and the command that builds it.

``python -m tests.e2e.pictrs.installation`` builds it with cargo, once: the cache is outside the repository, and every
checkout shares it. The build takes three minutes on two idle cores, 1.5 GB of memory, and no system library.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "0.5.25"

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
FOLDER = _CACHE / "pictwarden" / f"pict-rs-{VERSION}"
BINARY = FOLDER / "bin" / "pict-rs"

MISSING = f"pict-rs {VERSION} is not built: run `make e2e`, which needs cargo (rustc 1.92 or newer) and 3 minutes, once"

_CARGO_MISSING = f"cargo is not installed: the tests with a real pict-rs {VERSION} are skipped"


def main() -> int:
    """Build what is missing. The exit code is cargo's; 0 where there is nothing to do, or no cargo."""
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
