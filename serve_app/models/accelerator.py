"""What a device besides the CPU can do that makes passes fast: pinned memory, uploads beside a pass, captured graphs.

:class:`CudaAccelerator` is the real one. The tests have one of the CPU, so that the engine above
(:mod:`serve_app.models.cuda_engine`) also runs where there is no GPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch

from serve_app.domain import DeviceMemoryError
from serve_app.logs import EventLogger

logger = EventLogger(__name__)

# Passes before a capture, in which libraries choose their kernels and allocate: none of that may be captured.
_PASSES_BEFORE_CAPTURE = 3


class Accelerator(Protocol):
    """A device with memory of its own."""

    @property
    def device(self) -> torch.device:
        """Where tensors live."""
        ...

    def pinned(self, *shape: int) -> torch.Tensor:
        """uint8 memory of the host that the device can read by itself."""
        ...

    def upload(self, source: torch.Tensor, target: torch.Tensor) -> Any:
        """Begin to copy pinned ``source`` to ``target`` on the device; returns what :meth:`wait_for` takes."""
        ...

    def wait_for(self, upload: Any) -> None:
        """Let whatever is computed from here on wait for an upload; does not block the caller."""
        ...

    def capture(self, compute: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        """``compute``, which reads and writes the same memory each time, as something that is launched at once."""
        ...

    def computing(self) -> contextlib.AbstractContextManager[Any]:
        """What is computed within goes to the device in order, beside uploads."""
        ...


class CudaAccelerator:
    """One CUDA device, with a stream for passes and one for uploads."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._compute_stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._upload_stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graph_pool = torch.cuda.graph_pool_handle()

    def pinned(self, *shape: int) -> torch.Tensor:
        """See :class:`Accelerator`."""
        return torch.zeros(*shape, dtype=torch.uint8, pin_memory=True)

    def upload(self, source: torch.Tensor, target: torch.Tensor) -> torch.cuda.Event:
        """See :class:`Accelerator`."""
        with torch.cuda.stream(self._upload_stream):
            target.copy_(source, non_blocking=True)
            uploaded: torch.cuda.Event = self._upload_stream.record_event()
            return uploaded

    def wait_for(self, upload: torch.cuda.Event) -> None:
        """See :class:`Accelerator`."""
        self._compute_stream.wait_event(upload)

    def capture(self, compute: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        """See :class:`Accelerator`; a tower that cannot be captured is computed operation by operation.

        Not torch.compile: it needs a compiler on the machine and minutes per bucket, and what it gains over a captured
        graph in a transformer of large matrices is little.
        """
        with self.computing():
            for _ in range(_PASSES_BEFORE_CAPTURE):
                compute()
        self._compute_stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._graph_pool, stream=self._compute_stream):
                output = compute()
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            text = f"this model cannot be captured as a CUDA graph, passes are launched one by one: {error}"
            logger.warning("cuda_graph_failed", text, why=str(error))
            return compute

        def replay() -> torch.Tensor:
            graph.replay()
            return output

        return replay

    def computing(self) -> contextlib.AbstractContextManager[Any]:
        """See :class:`Accelerator`."""
        return torch.cuda.stream(self._compute_stream)


@contextlib.contextmanager
def out_of_memory_is_ours() -> Iterator[None]:
    """Makes what torch raises when memory is short a word of the domain, and gives back what it holds unused.

    Raises:
        DeviceMemoryError: instead of torch's own, which on the CPU is a plain RuntimeError.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise DeviceMemoryError("the device's memory is full") from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "DefaultCPUAllocator" not in str(error):
            raise
        raise DeviceMemoryError("the machine's memory is full") from error
