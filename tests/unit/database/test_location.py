"""Where the setting ``ledger`` puts the database, and the file systems that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.database import access
from serve_app.database.access import open_database
from serve_app.database.file_system import network_file_system
from serve_app.database.location import Location, locate
from serve_app.domain import ConfigurationError

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /mnt/photos rw - nfs4 server:/photos rw
31 30 0:41 / /mnt/photos/local rw - xfs /dev/sdb rw
32 22 0:42 / /mnt/with\\040space rw shared:1 - fuse.sshfs user@host: rw
33 22 0:43 / /mnt/hidden rw - ext4 /dev/sdc rw
34 22 0:44 / /mnt/hidden rw - cifs //server/share rw
35 22 0:45 / /mnt/data rw - fuse.ntfs-3g /dev/sdd rw
a line that is none
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/pictwarden", None),
        ("/mnt/photos", "nfs4"),
        ("/mnt/photos/state", "nfs4"),
        ("/mnt/photos/local/state", None),
        ("/mnt/photos-of-mine", None),
        ("/mnt/with space/state", "fuse.sshfs"),
        ("/mnt/hidden", "cifs"),
        ("/mnt/data", None),
    ],
)
def test_the_innermost_mount_counts(tmp_path: Path, path: str, kind: str | None) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS, "utf-8")
    assert network_file_system(Path(path), mounts) == kind


def test_where_nobody_can_tell_nothing_is_refused(tmp_path: Path) -> None:
    assert network_file_system(Path("/"), tmp_path / "missing") is None
    assert network_file_system(tmp_path) is None


def test_a_file_on_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "network_file_system", lambda _: "nfs4")
    with pytest.raises(ConfigurationError, match=r"network file system \(nfs4\).*or to a PostgreSQL database"):
        open_database(Location(tmp_path, tmp_path / "ledger.db"))
    assert list(tmp_path.iterdir()) == []


def test_by_default_it_lies_with_the_rest_of_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert locate(None) == Location(tmp_path / ".pictwarden", tmp_path / ".pictwarden" / "ledger.db")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/pictwarden:/other")
    assert locate(None) == Location(Path("/var/lib/pictwarden"), Path("/var/lib/pictwarden/ledger.db"))


def test_a_path_is_a_file_and_its_spool_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate("data/decisions.db") == Location(tmp_path / "data", tmp_path / "data" / "decisions.db")


def test_memory_is_nowhere() -> None:
    assert locate("memory") is None


def test_a_postgresql_database_is_told_without_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/pictwarden")
    location = locate("postgresql://pictwarden@db.example:5433/decisions?sslmode=require")
    assert location is not None
    assert str(location) == "postgresql://db.example/decisions"
    assert (location.file, location.spool_folder) == (None, Path("/var/lib/pictwarden"))
