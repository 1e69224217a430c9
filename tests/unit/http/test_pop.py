"""fedi-safety's own requests, as they were recorded of its client (python-requests), at the workers' listener."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from serve_app.domain import Deadline
from serve_app.http.guard import Guard
from serve_app.http.routes.pop import pop_routes
from serve_app.http.strangers import Strangers
from serve_app.remote.popped import PoppedAnswer, PoppedJobs
from serve_app.wire import POP_PATH

SECRET = "a-secret-of-a-worker"

RECORDED = {
    "User-Agent": "python-requests/2.34.2",
    "Accept-Encoding": "gzip, deflate",
    "Accept": "*/*",
    "Connection": "keep-alive",
}


class FediSafety:
    """What its client does with its two requests."""

    def __init__(self, key: str | None = SECRET) -> None:
        self.jobs = PoppedJobs()
        guard = Guard(["a-secret-for-scans"], worker_secrets={"alice": SECRET})
        app = Starlette(routes=pop_routes(guard.require_worker, self.jobs, Strangers()))
        self._transport = httpx.ASGITransport(app)
        self._headers = RECORDED | ({"apikey": key} if key is not None else {})

    async def get(self) -> httpx.Response:
        return await self._send("GET")

    async def post(self, said: Any) -> httpx.Response:
        content = said if isinstance(said, bytes) else json.dumps(said).encode()
        return await self._send("POST", content=content, type_={"Content-Type": "application/json"})

    async def _send(
        self, method: str, content: bytes | None = None, type_: dict[str, str] | None = None
    ) -> httpx.Response:
        url = f"http://front{POP_PATH}"
        async with httpx.AsyncClient(transport=self._transport) as client:
            return await client.request(method, url, content=content, headers=self._headers | (type_ or {}))


async def submit(jobs: PoppedJobs, content: bytes, media_type: str = "image/png") -> asyncio.Task[PoppedAnswer]:
    submitting = asyncio.create_task(jobs.submit(content, media_type, Deadline.after(8.0)))
    await asyncio.sleep(0)
    return submitting


async def test_a_picture_is_fetched_and_answered_for_as_the_client_does() -> None:
    worker = FediSafety()
    nothing = await worker.get()
    assert (nothing.status_code, nothing.content) == (204, b"")
    submitting = await submit(worker.jobs, b"the bytes of a picture")
    response = await worker.get()
    assert response.status_code == 200
    assert response.content == b"the bytes of a picture"
    name = response.headers["Content-Disposition"].split("=", 1)[1]
    assert name.endswith(".png")
    assert '"' not in name
    answered = await worker.post({"image": name, "is_csam": True, "is_nsfw": True})
    assert answered.status_code == 201
    assert await submitting == PoppedAnswer(is_csam=True, is_nsfw=True, worker="alice/fedi-safety")
    late = await worker.post({"image": name, "is_csam": False, "is_nsfw": False})
    assert (late.status_code, list(late.json())) == (404, ["message"])


async def test_ten_threads_that_ask_at_once_have_ten_pictures() -> None:
    worker = FediSafety()
    await worker.get()
    tasks = [await submit(worker.jobs, b"%d" % number) for number in range(10)]
    responses = await asyncio.gather(*(worker.get() for _ in range(12)))
    assert sorted(each.status_code for each in responses) == [200] * 10 + [204] * 2
    for each in responses:
        if each.status_code == 200:
            name = each.headers["Content-Disposition"].split("=", 1)[1]
            await worker.post({"image": name, "is_csam": False, "is_nsfw": False})
    assert len(await asyncio.gather(*tasks)) == 10


@pytest.mark.parametrize("key", ["another-secret-than-that", "a-secret-for-scans", "", None])
async def test_a_wrong_key_has_nothing_and_counts_as_nobody(key: str | None) -> None:
    worker = FediSafety(key)
    for response in (await worker.get(), await worker.post({"image": "a.png", "is_csam": False, "is_nsfw": False})):
        assert (response.status_code, list(response.json())) == (403, ["message"]), "its client reads JSON of it"
    assert not worker.jobs.is_anybody_there


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"no JSON",
        b"[" * 100_000,
        {"image": "a.png", "is_csam": "no", "is_nsfw": False},
        {"image": "a.png", "is_csam": False},
        {"image": 7, "is_csam": False, "is_nsfw": False},
        {"image": "a" * 10_000, "is_csam": False, "is_nsfw": False},
    ],
)
async def test_an_answer_that_is_none_is_refused(said: Any) -> None:
    worker = FediSafety()
    assert (await worker.post(said)).status_code == 400
