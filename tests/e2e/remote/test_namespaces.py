"""A worker in a network of its own, behind 20 Mbit/s that the kernel holds it to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.remote.conftest import Working
from tests.e2e.remote.front import Front, all_scanned
from tests.e2e.remote.namespaces import Behind, NoNamespaceError, behind_a_link

PER_S = 8
"""Pictures of at least one view of 150 KB: half of the link."""


@pytest.fixture
def behind() -> Iterator[Behind]:
    try:
        with behind_a_link() as made:
            yield made
    except NoNamespaceError as error:
        pytest.skip(str(error))


async def test_a_worker_behind_20_mbit(front: Front, behind: Behind, working: Working) -> None:
    url = f"http://{behind.address}:{front.remote_port}"
    with working(url, "--insecure-http", prefix=behind.prefix):
        await front.has_worker()
        assert all_scanned(await front.scan_all(24, per_s=PER_S))
