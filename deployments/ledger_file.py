"""One ledger for all ingress replicas: memory serves one, a SQLite file those of one machine, and of no other.

A replica cannot see whether the file on another node is the same one. So the first replica writes into Ray's own table
which file it has, and every later one compares.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from deployments.ray_table import Table
from serve_app.database.location import Location, locate
from serve_app.domain import ConfigurationError, SettingsError
from serve_app.settings import Settings

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class LedgerFile:
    """A file as a replica sees it: files are the same where the machine, the device and the number are."""

    node: str
    boot: str
    device: int
    inode: int

    @classmethod
    def of(cls, file: Path, node: str) -> LedgerFile:
        """The file, which must exist, on the node with this id."""
        status = file.stat()
        boot = _BOOT_ID.read_text("ascii").strip() if _BOOT_ID.exists() else node
        return cls(node, boot, status.st_dev, status.st_ino)

    def is_same_file(self, other: LedgerFile) -> bool:
        """Whether both are one file, on one machine."""
        return (self.boot, self.device, self.inode) == (other.boot, other.device, other.inode)


def require_shared(location: Location | None, replicas: int) -> None:
    """Return if ``replicas`` ingress replicas can share the ledger at ``location``, which is in memory if that is None.

    Raises:
        ConfigurationError: each would have a ledger of its own, of which ``forget`` erases one, and a quota of its own.
    """
    if location is None and replicas > 1:
        raise ConfigurationError(
            f"`ledger: memory` serves one ingress replica, and there are {replicas}: set `ledger` to a database, or "
            "`num_replicas: 1` of Ingress"
        )


def require_database(settings: Settings) -> None:
    """Return if the ledger is one that the replica can reach that workers connect to.

    Raises:
        SettingsError: it is in the memory of the ingress.
    """
    if locate(settings.ledger) is None:
        raise SettingsError(
            "`ledger: memory` is out of reach for RemoteScorer, which has to forget the scores of a worker that is not "
            "trusted any more: set `ledger` to a database"
        )


def require_one_file(location: Location | None, node: str, table: Table, is_alive: Callable[[str], bool]) -> None:
    """Return if no replica on another node has another file: of the ingress, or the one that workers connect to.

    Args:
        location: the ledger's, opened; a database that is no file is the same for all.
        node: the id of this replica's node.
        table: where the first replica says which file it has.
        is_alive: whether the node with an id is.

    Raises:
        ConfigurationError: one has.
    """
    if location is None or location.file is None:
        return
    own = LedgerFile.of(location.file, node)
    key, value = f"ledger:{location.file}", json.dumps(asdict(own))
    known = table.put_if_absent(key, value)
    if known is None:
        return
    first = LedgerFile(**json.loads(known))
    if first.is_same_file(own):
        return
    if first.node != node and is_alive(first.node):
        raise ConfigurationError(
            f"replicas on two nodes ({first.node[:12]} and {node[:12]}) would each record in a file of their own "
            f"({location.file}): set `ledger` to a PostgreSQL database, or keep the replicas of Ingress, and that of "
            "RemoteScorer, on one node"
        )
    table.replace(key, value)  # its node is gone, or the file was removed


def require_one_file_in_cluster(location: Location | None) -> None:
    """:func:`require_one_file`, for the replica that this process is.

    Raises:
        ConfigurationError: as there.
    """
    if location is None or location.file is None:
        return
    import ray

    from deployments.ray_table import RayTable

    alive = alive_nodes()
    node = ray.get_runtime_context().get_node_id()
    require_one_file(location, node, RayTable(), lambda each: alive.get(each, False))


def alive_nodes() -> Mapping[str, bool]:
    """Of every node that Ray knows, whether it is alive."""
    import ray

    return {each["NodeID"]: each["Alive"] for each in ray.nodes()}  # type: ignore[no-untyped-call]
