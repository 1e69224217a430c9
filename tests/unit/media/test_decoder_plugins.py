"""What cannot be read is said at start, with the way out."""

from __future__ import annotations

import sys

import pytest
from PIL import Image, features

from serve_app.domain import SettingsError
from serve_app.media.decoder_plugins import register_decoders, require_decoders


def test_here_everything_can_be_read() -> None:
    require_decoders()


@pytest.mark.parametrize(
    ("module", "package"), [("pillow_heif", "pillow-heif"), ("pillow_jxl", "pillow-jxl-plugin"), ("av", "av")]
)
def test_a_missing_package_is_named_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as an import of it then fails
    with pytest.raises(SettingsError) as caught:
        require_decoders()
    assert f"without the package {package}: pip install {package}" in str(caught.value)
    assert str(caught.value).count("pip install") == 1


def test_a_pillow_that_was_built_without_a_decoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda feature: feature not in ("avif", "webp"))
    with pytest.raises(SettingsError, match=r"AVIF cannot be read by this build of Pillow.*; WebP cannot"):
        require_decoders()


def test_registering_twice_is_registering_once() -> None:
    register_decoders()
    registered = dict(Image.OPEN)
    register_decoders()
    assert registered == Image.OPEN
    assert "HEIF" in registered
