"""`make e2e` says beforehand which of its tests are skipped on this machine, and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.pictrs.installation import magick_formats, skipped_in_full_mode

FORMATS = """\
   Format  Module    Mode  Description
-------------------------------------------------------------------------------
     AVIF  HEIC      rw+   AV1 Image File Format (1.15.1)
     JXL*  JXL       rw+   JPEG XL (ISO/IEC 18181) (libjxl 0.7.0)
     WEBP* WEBP      {webp}   WebP Image Format (libwebp 1.2.4 [020E])
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are looked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    magick_formats.cache_clear()
    return tmp_path


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    magick_formats.cache_clear()


def installed(programs: Path, name: str, output: str = "") -> None:
    program = programs / name
    program.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{output}END\n", "ascii")
    program.chmod(0o755)


def test_what_is_missing_is_named(programs: Path) -> None:
    installed(programs, "exiftool")
    of_programs, of_magick = skipped_in_full_mode()
    assert of_programs == "pict-rs's full mode needs `apt-get install ffmpeg`: the tests in full mode are skipped"
    assert "ImageMagick 7" in of_magick
    assert "reads AVIF, JXL, WEBP:" in of_magick


@pytest.mark.parametrize(("webp", "unread"), [("rw+", []), ("-w-", ["WEBP"])])
def test_formats_that_imagemagick_does_not_read_are_named(programs: Path, webp: str, unread: list[str]) -> None:
    for name in ("ffmpeg", "ffprobe", "exiftool"):
        installed(programs, name)
    installed(programs, "magick", FORMATS.format(webp=webp))
    lines = list(skipped_in_full_mode())
    assert len(lines) == len(unread)
    assert all(f"reads {each}:" in lines[0] for each in unread)
