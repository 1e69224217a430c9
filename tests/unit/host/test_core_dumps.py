"""A core of a process that holds pictures would hold them too; and no limit of the system keeps it from starting."""

import subprocess
import sys

import pytest

_CANNOT_RAISE = 77


@pytest.mark.parametrize(("hard", "limited_to"), [("RLIM_INFINITY", 1), ("1", 1), ("0", 0), ("4096", 1)])
def test_no_core_is_written_under_any_limit_of_the_system(hard: str, limited_to: int) -> None:
    # Without the privilege to raise a hard limit, as under systemd.
    code = f"""
import resource, os, sys
from resource import RLIM_INFINITY
from serve_app.host.core_dumps import write_no_core
try:
    resource.setrlimit(resource.RLIMIT_CORE, ({hard}, {hard}))
except (ValueError, OSError):
    sys.exit({_CANNOT_RAISE})
if os.geteuid() == 0:
    os.setuid(65534)
write_no_core()
print(*resource.getrlimit(resource.RLIMIT_CORE))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if ended.returncode == _CANNOT_RAISE:
        pytest.skip(f"cores are limited here already, and this user cannot raise the limit to {hard}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == [str(limited_to)] * 2
