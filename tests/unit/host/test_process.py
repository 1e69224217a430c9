"""What a process that serves sets before anything else, and what it gives back after its start."""

import os
import subprocess
import sys

import pytest

from serve_app.host.process import release_start_memory, unwritten_library_mappings

_SMAPS = """\
7f01-7f02 r-xp 00000000 fe:00 7  /lib/libexample.so.13
Size:                  4 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
7f02-7f03 r--p 00001000 fe:00 7  /lib/libexample.so.13
Size:                  4 kB
Anonymous:             4 kB
VmFlags: rd mr mw me
7f03-7f04 rw-p 00002000 fe:00 7  /lib/libexample.so.13
Size:                  4 kB
Anonymous:             0 kB
VmFlags: rd wr mr mw me
7f04-7f05 r--p 00000000 fe:00 8  /models/some.safetensors
Size:                  4 kB
Anonymous:             0 kB
7f05-7f06 r--p 00000000 00:00 0
Anonymous:             0 kB
7f06-7f08 r--p 00000000 fe:00 9  /lib/other.cpython-311-x86_64-linux-gnu.so
Size:                  8 kB
AnonHugePages:         4 kB
Anonymous:             0 kB
"""


def test_only_libraries_as_their_files_are_and_never_written_memory_are_unmapped() -> None:
    assert unwritten_library_mappings(_SMAPS) == [(0x7F01, 0x7F02), (0x7F06, 0x7F08)]


def test_libraries_work_after_it() -> None:
    import numpy as np

    before = np.linalg.inv(np.eye(3) * 2)
    release_start_memory()
    assert (np.linalg.inv(np.eye(3) * 2) == before).all()


_PASSES = """
import resource
import numpy as np
from serve_app.host.process import return_freed_memory, reuse_large_memory

def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def one_pass():
    return sum(float(np.ones(3_000_000, np.float32).sum()) for _ in range(3))  # 12 MB each

reuse_large_memory()
one_pass()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    one_pass()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
retained = resident_bytes()
return_freed_memory()
print(retained - resident_bytes())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_a_pass_has_the_memory_of_the_one_before_until_it_is_given_back() -> None:
    ran = subprocess.run([sys.executable, "-c", _PASSES], capture_output=True, text=True, check=True)
    faults, returned_bytes = map(int, ran.stdout.split())
    assert faults < 100, "15 arrays of 3,000 pages each"
    assert returned_bytes > 10_000_000


def waiting(**environment: str) -> list[str]:
    """What torch finds when it is loaded, after the set-up of each way to serve."""
    code = """
import sys
import serve_app.cli.launch.serving, serve_app.standalone, serve_app.composition.scoring
from serve_app.host.process import set_up_process
assert "torch" not in sys.modules
set_up_process()
import os
print(os.environ["OMP_WAIT_POLICY"], os.environ.get("GOMP_SPINCOUNT"))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return ran.stdout.split()


def test_waiting_threads_of_torch_sleep_soon_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    assert waiting() == ["PASSIVE", "10000"]
    assert waiting(GOMP_SPINCOUNT="5") == ["PASSIVE", "5"]
    assert waiting(OMP_WAIT_POLICY="ACTIVE") == ["ACTIVE", "None"]
