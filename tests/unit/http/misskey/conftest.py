"""A service that answers Misskey."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from serve_app.misskey_api import OUTPUT_BY_CLASS
from tests.unit.colour_classifier import ColourClassifier

if TYPE_CHECKING:
    from tests.unit.conftest import Service


@pytest.fixture
def misskey(make_service: Callable[..., Service]) -> Callable[..., Service]:
    """A service that answers Misskey."""

    def make(**args: Any) -> Service:
        service = make_service(**{"misskey": {"classifier": "nsfwjs"}} | args)
        service.misskey_scorer.engine = ColourClassifier([f"nsfwjs/{each}" for each in OUTPUT_BY_CLASS.values()])
        return service

    return make


@pytest.fixture
def service(misskey: Callable[..., Service]) -> Service:
    return misskey()
