"""A process that hangs at its end: it ends all the same, and so does all that it has started."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from serve_app.cli.launch.ending import descendants

ROOT = Path(__file__).parents[4]

# Starts a child that ignores SIGTERM, which starts one that becomes an orphan; then hangs in the end.
HANGS = """
import os, signal, subprocess, sys, threading
from serve_app.cli.launch.ending import adopt_orphans, bounded
SLEEPS = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); time.sleep(600)"
)
LEAVES = (
    "import subprocess, sys;"
    "p = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE, text=True);"
    "p.stdout.readline(); print(p.pid, flush=True)"
)
adopt_orphans()
child = subprocess.Popen([sys.executable, "-c", SLEEPS], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
left = subprocess.run([sys.executable, "-c", LEAVES, SLEEPS], stdout=subprocess.PIPE, text=True, check=True)
print(child.pid, left.stdout.strip(), flush=True)
with bounded(0.5, "the end of this test"):
    threading.Event().wait(600)
"""


def test_what_hangs_is_cut_off_with_its_children_and_its_orphans():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", HANGS], env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "the end of this test took longer than 0.5 s: its processes are killed\n"
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    assert [pid for pid in pids if _lives(pid)] == []


def test_what_hangs_is_cut_off_where_nobody_reads_what_is_said():
    code = (
        "import fcntl, os, sys, threading; from serve_app.cli.launch import ending\n"
        "ending._GRACE_S = 0\n"
        "fcntl.fcntl(2, fcntl.F_SETPIPE_SZ, 4096)\n"
        "os.set_blocking(2, False)\n"
        "os.write(2, bytes(4096))\n"
        "os.set_blocking(2, True)\n"
        "with ending.bounded(0.1, 'this'): threading.Event().wait(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE) as stuck:
        assert stuck.wait(50) == 1


def _lives(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_ends_in_time_is_left_alone():
    code = "from serve_app.cli.launch.ending import bounded\nwith bounded(600, 'this'):\n    pass\nprint('done')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_descendants_are_children_and_theirs():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in descendants(os.getpid())
        assert os.getpid() in descendants(os.getppid())
        child.communicate(b"\n")
    assert child.pid not in descendants(os.getpid())
