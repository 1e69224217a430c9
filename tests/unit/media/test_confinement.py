"""What a process can do no more once it is confined; tests/faults has what a decode worker can do no more."""

from __future__ import annotations

import subprocess
import sys

import pytest

from serve_app.media import confinement
from serve_app.media.confinement import confine, landlock_version

CONFINED = """
import os, sys
from serve_app.media.confinement import confine

assert confine([sys.argv[1]])
open(os.path.join(sys.argv[1], "written"), "w").close()
import xml.dom.minidom  # which was not loaded before

def is_denied(attempt, *arguments):
    try:
        attempt(*arguments)
    except PermissionError:
        return True
    return False

elsewhere = sys.argv[2]
attempts = (
    (open, os.path.join(elsewhere, "secret")),
    (open, os.path.join(elsewhere, "new"), "w"),
    (os.listdir, elsewhere),
    (os.mkdir, os.path.join(elsewhere, "folder")),
    (os.unlink, os.path.join(elsewhere, "secret")),
    (os.rename, os.path.join(elsewhere, "secret"), os.path.join(sys.argv[1], "secret")),
    (open, f"/proc/{os.getppid()}/environ"),
    (open, "/proc/self/environ"),
    (os.execv, sys.executable, [sys.executable, "-V"]),
)
print([number for number, attempt in enumerate(attempts) if not is_denied(*attempt)])
"""


@pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock")
def test_it_reaches_its_libraries_and_the_named_folder_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    reachable, elsewhere = tmp_path_factory.mktemp("reachable"), tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "secret").write_text("a secret", "ascii")
    command = [sys.executable, "-c", CONFINED, str(reachable), str(elsewhere)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
    assert [each.name for each in reachable.iterdir()] == ["written"]


def test_a_kernel_that_cannot_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "_CREATE_RULESET", 100_000)  # a number that no system call has
    assert landlock_version() == 0
    assert not confine()


def test_a_kernel_that_will_not_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "_ADD_RULE", 100_000)
    assert not confine()
