"""The args of an application: settings and a policy that fit each other, whatever runs them."""

from __future__ import annotations

from typing import Any

import pytest

from serve_app.configuration import read_args
from serve_app.domain import ConfigurationError, ModelError, PolicyError, SettingsError


def test_the_defaults_fit_each_other() -> None:
    settings, policy, shadow = read_args({})
    assert shadow is None
    assert (settings.model.source, policy.name) == ("embedded:demo-shapes", "demo-red-triangle")


@pytest.mark.parametrize(
    ("args", "error", "says"),
    [
        ({"deadlin": 8}, SettingsError, "deadlin: "),
        ({"policy": "shipped:nothing-like-it"}, PolicyError, "nothing-like-it"),
        ({"model": {"source": "what"}}, ModelError, "neither"),
        ({"model": {"source": "ViT-L-14/openai"}}, PolicyError, "belongs to the model"),
        ({"shadow_policy": "shipped:csam"}, PolicyError, "shadow_policy csam belongs to the model"),
        ({"shadow_policy": "shipped:nothing-like-it"}, PolicyError, "nothing-like-it"),
    ],
)
def test_what_is_wrong_is_found_before_anything_starts(
    args: dict[str, Any], error: type[ConfigurationError], says: str
) -> None:
    with pytest.raises(error, match=says):
        read_args(args)
