"""What ``build_app`` refuses before anything is deployed."""

import pytest

from deployments.graph import build_app
from deployments.ray_environment import FAST_SETTINGS, fresh_token_settings, is_behind_haproxy
from serve_app.domain import ModelError, PolicyError, SettingsError


def test_the_defaults_build():
    assert build_app({}) is not None


def test_an_unknown_setting_is_refused_with_its_name():
    with pytest.raises(SettingsError, match="deadlin"):
        build_app({"deadlin": 8})


def test_a_policy_for_another_model_is_refused():
    with pytest.raises(PolicyError, match="never copied"):
        build_app({"model": {"source": "ViT-L-14/openai"}})


def test_a_model_that_names_nothing_is_refused():
    with pytest.raises(ModelError, match="neither"):
        build_app({"model": {"source": "what"}})


def test_trust_by_address_is_refused_where_the_address_cannot_be_known(monkeypatch):
    args = {"authentication": {"trust_private_addresses": True}}
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "0")
    assert build_app(args) is not None
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
    with pytest.raises(SettingsError, match=r"127\.0\.0\.1"):
        build_app(args)


def test_the_fast_settings_front_with_haproxy():
    assert is_behind_haproxy(FAST_SETTINGS)
    assert not is_behind_haproxy({})


def test_each_start_has_a_token_of_its_own():
    first, second = fresh_token_settings(), fresh_token_settings()
    assert first["RAY_AUTH_MODE"] == "token"
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
