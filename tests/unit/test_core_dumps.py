"""A core of a process that holds pictures would hold them too; and no limit of the system keeps it from starting."""

import os
import resource
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("hard", "limited_to"), [("RLIM_INFINITY", 1), ("1", 1), ("0", 0), ("4096", 1)])
def test_no_core_is_written_under_any_limit_of_the_system(hard: str, limited_to: int) -> None:
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY and os.geteuid() != 0:
        pytest.skip("cores are limited here already, and this user cannot raise the limit")
    # Without the privilege to raise a hard limit, as under systemd.
    code = f"""
import resource, os
from resource import RLIM_INFINITY
from serve_app.core_dumps import write_no_core
resource.setrlimit(resource.RLIMIT_CORE, ({hard}, {hard}))
if os.geteuid() == 0:
    os.setuid(65534)
write_no_core()
print(*resource.getrlimit(resource.RLIMIT_CORE))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == [str(limited_to)] * 2
