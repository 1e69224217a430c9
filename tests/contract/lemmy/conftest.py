"""What the suites about Lemmy share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from serve_app.lemmy import TOKEN_ENV, LemmyClient, open_lemmy
from serve_app.settings import LemmySettings
from tests.contract.lemmy.stand_in import TOKEN, Lemmy, lemmy_standing_in


@pytest.fixture(params=["v3", "v4"])
async def lemmy(request: pytest.FixtureRequest) -> AsyncIterator[Lemmy]:
    async with lemmy_standing_in(request.param) as started:
        yield started


@pytest.fixture
async def client(lemmy: Lemmy) -> AsyncIterator[LemmyClient]:
    async with open_lemmy(LemmySettings(url=lemmy.url), {TOKEN_ENV: TOKEN}) as opened:
        yield opened
