"""What the tests of this folder share beside their pictures and videos."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


@pytest.fixture(autouse=True, scope="module")
def quiet_encoders() -> Iterable[None]:
    """SVT-AV1 speaks to the standard error by an environment variable's leave only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVT_LOG", "-1")
        yield
