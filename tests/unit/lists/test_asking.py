"""A list store that hangs, asked from an event loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from serve_app.lists.asking import in_thread


async def test_a_store_that_hangs_takes_no_thread_that_others_wait_for() -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    goes_on = threading.Event()
    asked = asyncio.create_task(in_thread(goes_on.wait))
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await asyncio.to_thread(bool)
    finally:
        goes_on.set()
    assert await asked
