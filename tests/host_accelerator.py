"""The CPU in the place of a GPU, so that the engine of GPUs runs where there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch


class HostAccelerator:
    """Implements :class:`serve_app.models.accelerator.Accelerator` without any of the gain."""

    device = torch.device("cpu")

    def pinned(self, *shape: int) -> torch.Tensor:
        """See the port."""
        return torch.zeros(*shape, dtype=torch.uint8)

    def upload(self, source: torch.Tensor, target: torch.Tensor) -> None:
        """See the port."""
        target.copy_(source)

    def wait_for(self, upload: None) -> None:
        """See the port."""

    def capture(self, compute: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        """See the port."""
        return compute

    def computing(self) -> contextlib.AbstractContextManager[Any]:
        """See the port."""
        return contextlib.nullcontext()
