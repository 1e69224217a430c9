"""The nsfwjs of these tests: on TensorFlow.js in Node, in a cache outside the repository that every checkout shares.

``python -m tests.e2e.nsfwjs.installation`` installs it with npm, once, and fetches our classifiers of the same package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from serve_app.models.nsfwjs.archive import PACKAGE
from serve_app.models.nsfwjs.making import fetch_nsfwjs

_TENSORFLOW_JS = "4.22.0"

_USERS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
FOLDER = _USERS / "pictwarden" / f"nsfwjs-{PACKAGE.version}-in-node"
CACHE = FOLDER / "ours"

MISSING = (
    f"nsfwjs {PACKAGE.version} is not installed in Node: run `make parity-nsfwjs`, which needs node, npm and 350 MB"
)

_PACKAGES = (
    f"nsfwjs@{PACKAGE.version}",
    f"@tensorflow/tfjs@{_TENSORFLOW_JS}",
    f"@tensorflow/tfjs-backend-wasm@{_TENSORFLOW_JS}",
    "buffer@6.0.3",
)


def is_installed() -> bool:
    """Whether there is all that the tests need."""
    return CACHE.is_dir() and shutil.which("node") is not None


def main() -> int:
    """Install what is missing. The exit code is npm's; 0 where there is nothing to do, or no npm."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        print("node or npm is not installed: the tests that compare with nsfwjs are skipped")
        return 0
    if not is_installed():
        print(f"installing {PACKAGE} into {FOLDER}, once", flush=True)
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(FOLDER), "--ignore-scripts", "--no-audit", "--no-fund", *_PACKAGES]
        if failed := subprocess.run(command, check=False).returncode:
            return failed
    fetch_nsfwjs(CACHE, None, lambda stage, _: print(stage, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
