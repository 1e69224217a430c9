"""What kind of file system a path is on. SQLite's locks and its shared memory need one of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")

_NETWORKED = re.compile(
    r"nfs\d?|cifs|smb\w*|ncp\w*|9p|afs|ceph|glusterfs|lustre|gpfs|beegfs\w*|ocfs2|gfs2|coda|virtiofs|"
    r"fuse\.(sshfs|glusterfs|ceph\S*|s3fs|rclone|davfs\S*|nfs\S*|juicefs|mergerfs|cifs\S*|smb\S*)"
)


def network_file_system(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """The kind of the network file system that ``path`` is on; None if it is on none, or nobody can tell."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    kind = _kind_of_mount(os.path.realpath(path), lines)
    return kind if _NETWORKED.fullmatch(kind) else None


def _kind_of_mount(path: str, lines: list[str]) -> str:
    """The file system of the innermost mount above ``path``; the later of two at one place hides the other."""
    kind, longest = "", -1
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        place = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields[4]).rstrip("/")
        if (path == place or path.startswith(place + "/")) and len(place) >= longest:
            kind, longest = after.split(" ")[0], len(place)
    return kind
