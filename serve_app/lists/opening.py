"""The lists of a process, opened beside its ledger. Libraries of databases are imported only where there is one."""

from __future__ import annotations

from serve_app.database.location import Location
from serve_app.lists.live import LiveLists
from serve_app.lists.memory_store import MemoryListStore
from serve_app.lists.store import ListStore


def open_lists(location: Location | None) -> LiveLists:
    """The lists in the database at ``location``, in memory if that is None. Start them, and close them after use.

    Raises:
        ConfigurationError: they cannot be read, and there is no index of them on this machine.
    """
    if location is None:
        return LiveLists(MemoryListStore())
    return LiveLists(open_list_store(location), location.spool_folder / f"{location.name}.lists")


def open_list_store(location: Location) -> ListStore:
    """The entries in the database at ``location``, for a command as well.

    Raises:
        ConfigurationError: the database cannot be used.
    """
    from serve_app.database.access import open_database
    from serve_app.lists.sql_store import SqlListStore

    return SqlListStore(open_database(location))
