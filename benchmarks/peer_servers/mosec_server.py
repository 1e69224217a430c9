"""mosec: two processes that decode, one that computes with dynamic batching. POST /inference."""

from __future__ import annotations

import pickle
from typing import Any

import torch
from mosec import Server, Worker
from tower import MAX_BATCH, Tower, pixels


class Decode(Worker):  # type: ignore[misc]
    """Bytes to pixels."""

    def deserialize(self, data: bytes) -> bytes:
        """The body as it came."""
        return data

    def forward(self, data: bytes) -> bytes:
        """Pickled for the next process."""
        return pickle.dumps(pixels(data).numpy(), protocol=5)


class Score(Worker):  # type: ignore[misc]
    """Pixels to scores, of a batch."""

    def __init__(self) -> None:
        self._tower = Tower()

    def forward(self, data: list[bytes]) -> Any:
        """One answer for each picture."""
        return self._tower.scores([torch.from_numpy(pickle.loads(each)) for each in data])  # noqa: S301 - from the decoders of this server


if __name__ == "__main__":
    server = Server()
    server.append_worker(Decode, num=2, timeout=30)
    server.append_worker(Score, num=1, max_batch_size=MAX_BATCH, timeout=30)
    server.run()
