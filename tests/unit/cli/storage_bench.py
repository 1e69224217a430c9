"""A folder of "pictures" that the command ``pictwarden storage`` is run on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner, Result

from serve_app.cli.main import app
from serve_app.database.location import Location
from serve_app.ledger import open_ledger
from serve_app.purges import Purge, purges_since

LIMIT_S = 60

COMMAND = "from serve_app.cli.main import app; app()"


@dataclass
class Bench:
    """A folder of "pictures" whose first word is what the service says of them, and an empty ledger."""

    folder: Path
    environment: dict[str, str]
    limited: list[str] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def location(self) -> Location:
        return Location(self.folder, self.folder / "ledger.db")

    def write(self, name: str, says: str) -> Path:
        file = self.store / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(says, "ascii")
        return file

    def left(self) -> list[str]:
        return sorted(str(each.relative_to(self.store)) for each in self.store.rglob("*") if each.is_file())

    def config(self, **settings: Any) -> str:
        args = {"ledger": str(self.location.file), **settings}
        document = {"applications": [{"import_path": "deployments.graph:build_app", "args": args}]}
        file = self.folder / "config.yaml"
        file.write_text(yaml.safe_dump(document), "utf-8")
        return str(file)

    def storage(self, command: str, *options: str, **settings: Any) -> Result:
        arguments = ["storage", command, "--config", self.config(**settings), *options]
        return CliRunner().invoke(app, arguments, env=self.environment)

    def scan(self, *options: str, exit_code: int = 0, **settings: Any) -> Result:
        done = self.storage("scan", str(self.store), *options, **settings)
        assert done.exit_code == exit_code, done.output
        return done

    def started(self, *options: str, quota: int = 100, program: str = COMMAND, **streams: Any) -> subprocess.Popen[str]:
        """The command in a process of its own."""
        config = self.config(pictrs={"max_purges_per_day": quota})
        command = [sys.executable, "-c", program, "storage", "scan", "--config", config, *options]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | streams
        return subprocess.Popen([*command, str(self.store)], env=os.environ | self.environment, **streams)

    async def purges(self) -> list[Purge]:
        with contextlib.closing(open_ledger(self.location)) as ledger:
            return await purges_since(ledger, datetime(2020, 1, 1, tzinfo=UTC))
