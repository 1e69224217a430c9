"""What is in the cache is whole and made by this very recipe, or it is made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from serve_app.models.model_cache import ModelCache, Recipe, default_cache_folder

RECIPE = Recipe("ab" * 32, "drawn-1", "2026.4.1", "3.4.0")


def write(text: str) -> Callable[[Path], None]:
    def to(file: Path) -> None:
        file.write_text(text, "ascii")
        file.with_suffix(".bin").write_bytes(text.encode() * 1000)

    return to


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path)


def below(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_an_empty_cache_has_nothing(cache: ModelCache) -> None:
    assert cache.find(RECIPE) is None


def test_what_was_made_is_found(cache: ModelCache) -> None:
    file = cache.make(RECIPE, write("graph"))
    assert cache.find(RECIPE) == file
    assert (file.read_text("ascii"), file.name) == ("graph", "model.xml")


@pytest.mark.parametrize(
    "changed",
    [{"model_digest": "cd" * 32}, {"calibration": "photographs-1"}, {"openvino": "1"}, {"nncf": "1"}, {"schema": 0}],
)
def test_any_other_recipe_is_another_model(cache: ModelCache, changed: dict[str, str]) -> None:
    cache.make(RECIPE, write("graph"))
    other = replace(RECIPE, **changed)  # type: ignore[arg-type]
    assert other.digest != RECIPE.digest
    assert cache.find(other) is None


def test_a_digest_is_64_hex_digits() -> None:
    assert len(bytes.fromhex(RECIPE.digest)) == 32


@pytest.mark.parametrize("damage", ["truncated", "missing", "added", "foreign", "no manifest", "no object"])
def test_what_is_not_whole_is_not_found_and_made_anew(cache: ModelCache, tmp_path: Path, damage: str) -> None:
    file = cache.make(RECIPE, write("first"))
    manifest = file.with_name("manifest.json")
    match damage:
        case "truncated":
            file.with_suffix(".bin").write_bytes(b"fir")
        case "missing":
            file.unlink()
        case "added":
            file.with_name("other.bin").touch()
        case "foreign":
            manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "calibration": "another"}))
        case "no manifest":
            manifest.unlink()
        case "no object":
            manifest.write_text("[1]")
    assert cache.find(RECIPE) is None
    assert cache.make(RECIPE, write("second")).read_text("ascii") == "second"
    assert cache.find(RECIPE) == file
    assert {Path(name).parent.name for name in below(tmp_path)} == {file.parent.name}, "the broken one is gone"


def test_a_conversion_that_fails_leaves_nothing(cache: ModelCache, tmp_path: Path) -> None:
    def fail(file: Path) -> None:
        file.write_text("half", "ascii")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.make(RECIPE, fail)
    assert cache.find(RECIPE) is None
    assert below(tmp_path) == set()


def test_two_that_make_the_same_model_at_once_both_have_it(cache: ModelCache, tmp_path: Path) -> None:
    both_wrote = Barrier(2)

    def together(file: Path) -> None:
        write("graph")(file)
        both_wrote.wait(10)

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda _: cache.make(RECIPE, together), range(2))
    assert one == other == cache.find(RECIPE)
    assert len(below(tmp_path)) == 3


def test_a_file_in_the_way_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("mine", "ascii")
    with pytest.raises(OSError, match="models"):
        ModelCache(tmp_path).make(RECIPE, write("graph"))


def test_the_default_is_below_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / "pictwarden"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / ".cache" / "pictwarden"
