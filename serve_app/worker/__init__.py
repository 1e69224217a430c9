"""A worker: the models of one machine, for a front elsewhere that has none."""

from serve_app.worker.kept_scorers import KeptScorers
from serve_app.worker.worker import Worker, WorkerSettings

__all__ = ["KeptScorers", "Worker", "WorkerSettings"]
