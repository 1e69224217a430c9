"""Ingress replicas on two nodes without PostgreSQL are refused: each would record in a file of its own."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deployments.ledger_file import LedgerFile, require_one_file, require_shared
from serve_app.database.location import Location
from serve_app.domain import ConfigurationError


@dataclass
class DictTable:
    values: dict[str, str] = field(default_factory=dict)

    def put_if_absent(self, key: str, value: str) -> str | None:
        known = self.values.get(key)
        self.values.setdefault(key, value)
        return known

    def replace(self, key: str, value: str) -> None:
        self.values[key] = value


@pytest.fixture
def location(tmp_path: Path) -> Location:
    file = tmp_path / "ledger.db"
    file.touch()
    return Location(tmp_path, file)


def on_another_machine(location: Location, table: DictTable) -> None:
    """A replica of another machine was first, with a file at the same path."""
    assert location.file is not None
    there = dataclasses.replace(LedgerFile.of(location.file, "other"), boot="another-boot")
    table.values[f"ledger:{location.file}"] = json.dumps(dataclasses.asdict(there))


def test_replicas_that_see_one_file_start_whatever_their_node_is_called(location: Location) -> None:
    table = DictTable()
    for node in ("one", "one", "two"):  # two nodes of Ray on one machine, as in the tests and benchmarks
        require_one_file(location, node, table, lambda _: True)
    assert len(table.values) == 1


def test_a_second_file_on_a_living_node_is_refused(location: Location) -> None:
    table = DictTable()
    on_another_machine(location, table)
    with pytest.raises(ConfigurationError, match="set `ledger` to a PostgreSQL database"):
        require_one_file(location, "one", table, {"other": True}.__getitem__)


def test_when_its_node_is_gone_another_one_starts_anew(location: Location) -> None:
    table = DictTable()
    on_another_machine(location, table)
    require_one_file(location, "one", table, {"other": False}.__getitem__)
    assert json.loads(table.values[f"ledger:{location.file}"])["node"] == "one"


def test_a_file_that_was_removed_and_made_again_is_no_second_one(location: Location, tmp_path: Path) -> None:
    table = DictTable()
    require_one_file(location, "one", table, lambda _: True)
    assert location.file is not None
    location.file.rename(tmp_path / "moved")
    location.file.touch()
    require_one_file(location, "one", table, lambda _: True)


def test_a_ledger_in_memory_serves_one_ingress_replica() -> None:
    require_shared(None, 1)
    with pytest.raises(ConfigurationError, match="there are 2: set `ledger` to a database, or `num_replicas: 1`"):
        require_shared(None, 2)


def test_a_database_serves_several_ingress_replicas(location: Location) -> None:
    for shared in (location, Location(Path("/nowhere"), url="postgresql://db/pictwarden")):
        require_shared(shared, 2)


def test_a_database_that_is_no_file_is_one_for_all() -> None:
    table = DictTable()
    for nowhere in (None, Location(Path("/nowhere"), url="postgresql://db/pictwarden")):
        require_one_file(nowhere, "one", table, lambda _: True)
    assert table.values == {}
