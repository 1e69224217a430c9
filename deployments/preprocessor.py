"""The CPU deployment: bytes to views, in threads beside the replica's event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from serve_app.domain import Deadline, Views
from serve_app.media import MediaLimits, preprocess


class Preprocessor:
    """Decodes pictures. Decoders release the GIL, so the event loop goes on answering while they work."""

    def __init__(self, limits: MediaLimits, threads: int = 1) -> None:
        """``threads``: pictures decoded at once; as many as the replica has cores."""
        self._limits = limits
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    async def preprocess(self, body: bytes, view_size_px: int, remaining_s: float) -> Views:
        """See :class:`serve_app.domain.Preprocessor`; ``remaining_s`` is what is left of the request's deadline."""
        deadline = Deadline.after(remaining_s)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, preprocess, body, view_size_px, self._limits, deadline)
