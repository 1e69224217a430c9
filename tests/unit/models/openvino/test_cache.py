"""What is in the cache is whole and made by this very conversion, or it is made anew."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from serve_app.models.cache_folder import default_cache_folder
from serve_app.models.file_digests import digests
from serve_app.models.openvino.cache import ModelCache
from serve_app.models.openvino.conversion import Conversion, ConvertedModel
from serve_app.models.source import CONVERTED_FILE

CONVERSION = Conversion("ab" * 32, "int8", "drawn-1", "2026.4.1", "3.4.0")


def write(text: str, conversion: Conversion = CONVERSION) -> Callable[[Path], None]:
    def to(folder: Path) -> None:
        (folder / "image.xml").write_text(text, "ascii")
        (folder / "image.bin").write_bytes(text.encode() * 1000)
        ConvertedModel("tiny", conversion, 32, 100.0, None, "lower", digests(folder, CONVERTED_FILE)).write(folder)

    return to


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path)


def below(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_an_empty_cache_has_nothing(cache: ModelCache) -> None:
    assert cache.find(CONVERSION) is None


def test_what_was_made_is_found(cache: ModelCache) -> None:
    folder = cache.make(CONVERSION, write("graph"))
    assert cache.find(CONVERSION) == folder
    assert (folder / "image.xml").read_text("ascii") == "graph"


def test_it_is_found_by_what_it_is_made_of(cache: ModelCache) -> None:
    other = replace(CONVERSION, precision="bf16", calibration="", nncf="")
    folders = {cache.make(each, write("graph", each)) for each in (CONVERSION, other)}
    assert {folder for folder, _ in cache.made_of(CONVERSION.model_digest)} == folders
    assert {converted.conversion for _, converted in cache.made_of(CONVERSION.model_digest)} == {CONVERSION, other}
    assert list(cache.made_of("cd" * 32)) == []


def test_whoever_may_read_the_cache_may_read_the_model(cache: ModelCache, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    assert cache.make(CONVERSION, write("graph")).stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize(
    "changed",
    [{"model_digest": "cd" * 32}, {"calibration": "photographs-1"}, {"openvino": "1"}, {"nncf": "1"}, {"schema": 0}],
)
def test_any_other_conversion_is_another_model(cache: ModelCache, changed: dict[str, str]) -> None:
    cache.make(CONVERSION, write("graph"))
    other = replace(CONVERSION, **changed)  # type: ignore[arg-type]
    assert other.digest != CONVERSION.digest
    assert cache.find(other) is None


def test_a_digest_is_64_hex_digits() -> None:
    assert len(bytes.fromhex(CONVERSION.digest)) == 32


@pytest.mark.parametrize("damage", ["truncated", "missing", "added", "foreign", "undescribed", "no object", "older"])
def test_what_is_not_whole_is_not_found_and_made_anew(cache: ModelCache, tmp_path: Path, damage: str) -> None:
    folder = cache.make(CONVERSION, write("first"))
    described = folder / "converted.json"
    match damage:
        case "truncated":
            (folder / "image.bin").write_bytes(b"fir")
        case "missing":
            (folder / "image.xml").unlink()
        case "added":
            (folder / "other.bin").touch()
        case "foreign":
            described.write_text(described.read_text("utf-8").replace("drawn-1", "another"), "utf-8")
        case "undescribed":
            described.unlink()
        case "no object":
            described.write_text("[1]")
        case "older":
            described.write_text(described.read_text("utf-8").replace('"schema": 3', '"schema": 2'), "utf-8")
    assert cache.find(CONVERSION) is None
    assert (cache.make(CONVERSION, write("second")) / "image.xml").read_text("ascii") == "second"
    assert cache.find(CONVERSION) == folder
    assert {Path(name).parent.name for name in below(tmp_path)} == {folder.name}, "the broken one is gone"


def test_a_conversion_that_fails_leaves_nothing(cache: ModelCache, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "image.xml").write_text("half", "ascii")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.make(CONVERSION, fail)
    assert cache.find(CONVERSION) is None
    assert below(tmp_path) == set()


def test_two_that_make_the_same_model_at_once_both_have_it(cache: ModelCache, tmp_path: Path) -> None:
    both_wrote = Barrier(2)

    def together(folder: Path) -> None:
        write("graph")(folder)
        both_wrote.wait(10)

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda _: cache.make(CONVERSION, together), range(2))
    assert one == other == cache.find(CONVERSION)
    assert len(below(tmp_path)) == 3


def test_a_file_in_the_way_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("mine", "ascii")
    with pytest.raises(OSError, match="models"):
        ModelCache(tmp_path).make(CONVERSION, write("graph"))


def test_the_default_is_below_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / "pictwarden"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / ".cache" / "pictwarden"
