"""`make sbom` without a network, and `make audit` where nobody answers, with the tools in their own environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOLS = ROOT / ".venv-audit"
LOCK = ROOT / "requirements" / "serve-converted.lock"
NOBODY = "http://127.0.0.1:9"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (TOOLS / "installed").is_file(), reason="`make .venv-audit/installed` has not run here"),
]


def make(target: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a folder of its own, over one lock, and where every address is behind a proxy that is not there."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    proxies = {f"{kind}_proxy": NOBODY for kind in ("http", "https", "all")}
    return subprocess.run(
        [
            *("make", f"--file={ROOT / 'Makefile'}", f"--assume-old={TOOLS}/installed"),
            *(f"AUDIT={TOOLS}", f"LOCKS={LOCK}", target),
        ],
        cwd=folder,
        # Answers that were stored are none.
        env={**os.environ, **proxies, "no_proxy": "", "XDG_CACHE_HOME": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_bill_of_materials_has_each_locked_version_and_its_hashes(tmp_path: Path) -> None:
    made = make("sbom", tmp_path)
    assert made.returncode == 0, made.stdout
    (file,) = (tmp_path / "reports" / "sbom").iterdir()
    bill = json.loads(file.read_text("utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "pictwarden"
    listed = {(each["name"], each["version"]) for each in bill["components"]}
    assert listed == set(re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^ ;]+)", LOCK.read_text("utf-8"), re.MULTILINE))
    hashes = [reference.get("hashes") for each in bill["components"] for reference in each["externalReferences"]]
    assert hashes
    assert all(hashes)


def test_an_audit_that_nobody_answers_is_a_failure(tmp_path: Path) -> None:
    audited = make("audit", tmp_path)
    assert audited.returncode != 0
    assert "No known vulnerabilities" not in audited.stdout
    assert "Unable to connect to proxy" in audited.stdout
