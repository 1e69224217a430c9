"""Workers that are connected, for tests of what admins see of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from serve_app.domain.workers import ConnectedWorker, WorkersHealth, WorkerState

SINCE = datetime(2026, 11, 26, 12, tzinfo=UTC)


def worker(name: str, state: WorkerState = WorkerState.TRUSTED) -> ConnectedWorker:
    return ConnectedWorker(
        name, name.partition("/")[0], state, "cuda: a card", "1.2.3", ("demo@aaaaaaaaaaaa",), SINCE, 1234, 3, 1.25, 40.6
    )


@dataclass
class ShownWorkers:
    """:class:`serve_app.domain.workers.WorkersView` without a fleet."""

    workers: list[ConnectedWorker] = field(default_factory=list)
    state: WorkersHealth = field(default_factory=WorkersHealth)
    dismissed: list[tuple[str, str]] = field(default_factory=list)

    async def connected(self) -> list[ConnectedWorker]:
        return self.workers

    async def health(self) -> WorkersHealth:
        return self.state

    async def dismiss(self, name: str, actor: str) -> bool:
        self.dismissed.append((name, actor))
        left = [each for each in self.workers if each.name != name]
        is_gone, self.workers = len(left) < len(self.workers), left
        return is_gone
