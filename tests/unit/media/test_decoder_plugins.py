"""What cannot be read is said at start, with the way out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image, features

from serve_app.domain import SettingsError
from serve_app.media.decoder_plugins import missing_decoders, register_decoders, require_decoders


def test_here_everything_can_be_read() -> None:
    require_decoders()


@pytest.mark.parametrize(
    ("module", "package"), [("pillow_heif", "pillow-heif"), ("pillow_jxl", "pillow-jxl-plugin"), ("av", "av")]
)
def test_a_missing_package_is_named_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as an import of it then fails
    (missing,) = missing_decoders()
    assert f"without the package {package}: pip install {package}" in missing


def test_a_pillow_that_was_built_without_a_decoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda feature: feature not in ("avif", "webp"))
    avif, webp = missing_decoders()
    assert avif.startswith("AVIF cannot be read by this build of Pillow")
    assert webp.startswith("WebP cannot")


def test_what_is_missing_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in ("av", "pillow_jxl"):
        (tmp_path / f"{module}.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError, match=r"JPEG XL cannot .*; MP4 and WebM cannot .* pip install av$"):
        require_decoders()


def test_a_library_that_ends_the_process_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "av.py").write_text("import os; os._exit(4)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError, match="cannot be loaded: the process ended with 4"):
        require_decoders()


def test_registering_twice_is_registering_once() -> None:
    register_decoders()
    registered = dict(Image.OPEN)
    register_decoders()
    assert registered == Image.OPEN
    assert "HEIF" in registered
