"""Services with the settings that a part wants, and what they have recorded."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from benchmarks.servers import REPOSITORY, Home, Running, Way, ours, running
from serve_app.database.location import Location
from serve_app.domain import DecisionFilter
from serve_app.ledger.opening import open_archive
from serve_app.ledger.spool import abandoned_spools
from serve_app.ledger.sql_archive import SqlArchive

_PAGE = 1000
_MOST_SPOOLED = 1_000_000


def location_in(home: Home) -> Location:
    """Where the ledger of a service without other settings lies."""
    folder = home.folder / ".pictwarden"
    return Location(folder, folder / "ledger.db")


@contextlib.contextmanager
def serving(home: Home, args: Mapping[str, Any], way: Way = Way.ONE_PROCESS) -> Iterator[Running]:
    """A service with ``args``, those of ``serve_config.yaml``, once it answers.

    Without a policy in them it has the demo model, which takes the least of the time that is measured.

    Raises:
        NotServedError: it did not start.
    """
    config = home.folder / "serve.yaml"
    config.write_text(json.dumps(configuration(args)), "utf-8")  # which is YAML too
    server = ours(way, "--config", str(config))
    with running(server, home=home) as started:
        yield started


def configuration(args: Mapping[str, Any]) -> dict[str, Any]:
    """A file like ``serve_config.yaml`` with ``args``, and replicas that fit on a machine of two cores."""
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / "deployments" / "local.yaml").read_text("utf-8"))
    (application,) = config["applications"]
    application["args"] = dict(args) if "policy" in args else {"preset": "demo", **args}
    return config


def recorded_ids(location: Location) -> set[str]:
    """The ids of all decisions in a ledger, and in the spools of processes that have ended."""
    with contextlib.closing(open_archive(location)) as archive:
        recorded = asyncio.run(_ids_in(archive))
    for spool in abandoned_spools(location.spool_folder, location.name):
        with contextlib.closing(spool):
            recorded |= {entry.request_id for entry in spool.waiting(_MOST_SPOOLED)}
    return recorded


async def _ids_in(archive: SqlArchive) -> set[str]:
    recorded: set[str] = set()
    cursor: str | None = None
    while True:
        page = await archive.search(DecisionFilter(), _PAGE, cursor)
        recorded |= {each.decision.request_id for each in page.records}
        cursor = page.cursor
        if cursor is None:
            return recorded
