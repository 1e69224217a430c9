"""A package becomes classifiers in the cache: once, whole, or with an error that says what is wrong in it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from serve_app.domain import ModelError
from serve_app.models.nsfwjs import archive as archive_module
from serve_app.models.nsfwjs import making, variants
from serve_app.models.nsfwjs.archive import Archive
from serve_app.models.nsfwjs.making import converted, fetch_nsfwjs
from serve_app.models.nsfwjs.variants import VARIANTS, require_fetched
from tests.unit.models.nsfwjs.made_up import package, script, tarred, tiny_model, weight_script

SIZES = {"mobilenet_v2": 6, "inception_v3": 8}
NPM_MUST_NOT_RUN = ("false",)


def quiet(step: str, share: float) -> None:
    pass


@pytest.fixture
def given_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of tiny models in place of the published one, as a file."""
    body = package(SIZES)
    pinned = replace(
        archive_module.PACKAGE,
        size_bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        command=NPM_MUST_NOT_RUN,
    )
    tiny = tuple(
        replace(
            variant,
            view_side_px=(size_px := SIZES[variant.folder]),
            sha256=hashlib.sha256(converted(Archive(body), variant.folder, size_px)).hexdigest(),
        )
        for variant in VARIANTS
    )
    for module in (making, variants):
        monkeypatch.setattr(module, "PACKAGE", pinned)
        monkeypatch.setattr(module, "VARIANTS", tiny)
    file = tmp_path / "package.tgz"
    file.write_bytes(body)
    return file


def test_both_classifiers_are_made_and_found(given_package: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    fetched = fetch_nsfwjs(tmp_path, given_package, lambda step, _: steps.append(step))
    assert steps == ["making nsfwjs", "making nsfwjs-inception"]
    assert [each.classifier for each in fetched] == ["nsfwjs", "nsfwjs-inception"]
    assert [require_fetched(variant, tmp_path) for variant in variants.VARIANTS] == list(fetched)
    for each in fetched:
        assert each.digest == hashlib.sha256(each.model.read_bytes()).hexdigest()
        assert (each.folder / "LICENSE").read_text("ascii") == "Anybody may copy this.\n"


def test_a_model_takes_pictures_and_gives_five_probabilities(given_package: Path, tmp_path: Path) -> None:
    for each, size_px in zip(fetch_nsfwjs(tmp_path, given_package, quiet), SIZES.values(), strict=True):
        session = onnxruntime.InferenceSession(each.model, providers=["CPUExecutionProvider"])
        (scores,) = session.run(None, {"pictures": np.ones((3, size_px, size_px, 3), np.float32)})
        assert np.asarray(scores).shape == (3, 5)
        np.testing.assert_allclose(np.asarray(scores).sum(1), 1, atol=1e-6)


def test_what_is_there_is_neither_fetched_nor_made_again(given_package: Path, tmp_path: Path) -> None:
    first = fetch_nsfwjs(tmp_path, given_package, quiet)
    written = {each.model: each.model.stat().st_mtime_ns for each in first}
    assert fetch_nsfwjs(tmp_path, None, quiet) == first
    assert {each.model: each.model.stat().st_mtime_ns for each in first} == written


def test_what_is_damaged_is_made_again(given_package: Path, tmp_path: Path) -> None:
    first, second = fetch_nsfwjs(tmp_path, given_package, quiet)
    second.model.write_bytes(b"half")
    with pytest.raises(ModelError, match="`pictwarden model fetch nsfwjs`"):
        require_fetched(variants.VARIANTS[1], tmp_path)
    assert fetch_nsfwjs(tmp_path, given_package, quiet) == [first, second]


def test_another_file_than_the_pinned_one_is_not_kept(
    given_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "VARIANTS", (replace(variants.VARIANTS[0], sha256="ab" * 32),))
    with pytest.raises(ModelError, match=r"^onnx \S+ writes nsfwjs into another file"):
        fetch_nsfwjs(tmp_path / "cache", given_package, quiet)
    assert [file for file in (tmp_path / "cache").rglob("*") if file.is_file()] == []


def test_the_real_package_has_another_origin_for_each_variant() -> None:
    assert len({variant.origin.digest for variant in VARIANTS}) == len(VARIANTS)


DESCRIBED, _ = tiny_model(6)
_OTHER_SIZE, _ = tiny_model(7)

WRONG: dict[str, tuple[dict[str, str], str]] = {
    "no script": ({"model": "text"}, "model.min.js:1:1: the script exports 0 literals"),
    "no literal": ({"model": "a.exports={a:b}"}, "model.min.js:1:14: not part of a literal"),
    "another size": ({"model": script(_OTHER_SIZE)}, "does not take pictures of 6 x 6 pixels"),
    "no weights": ({"group1-shard2of2": weight_script(b"")}, r"values, and 50 bytes"),
    "other text": ({"group1-shard2of2": "ä"}, "group1-shard2of2.min.js: cannot be read"),
    "a shard that is missing": (
        {"model": script(json.loads(json.dumps(DESCRIBED).replace("shard2of2", "shard3of2")))},
        "dist/models/mobilenet_v2/group1-shard3of2.min.js: not in nsfwjs-4.4.0.tgz",
    ),
    "a script that is too long": ({"model": " " * 8_000_001}, "longer than 8,000,000 bytes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_a_package_is_named(name: str) -> None:
    changed, said = WRONG[name]
    with pytest.raises(ModelError, match=said):
        converted(Archive(package({"mobilenet_v2": 6}, **changed)), "mobilenet_v2", 6)


@pytest.mark.parametrize("body", [b"", b"no archive", package(SIZES)[:200], b"\x1f\x8b" + bytes(50)])
def test_what_is_no_archive_is_an_error(body: bytes) -> None:
    with pytest.raises(ModelError, match=r"nsfwjs-4\.4\.0\.tgz cannot be unpacked"):
        Archive(body)


def test_a_folder_is_no_file() -> None:
    with pytest.raises(ModelError, match="dist: not in"):
        Archive(tarred({"dist/x": ""})).text("dist")


def test_an_error_leaves_nothing_in_the_cache(
    given_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "VARIANTS", (replace(variants.VARIANTS[0], view_side_px=5),))
    with pytest.raises(ModelError, match="5 x 5"):
        fetch_nsfwjs(tmp_path / "cache", given_package, quiet)
    assert [file for file in (tmp_path / "cache").rglob("*") if file.is_file()] == []


def test_without_the_library_the_error_names_the_extra(
    given_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install -e '\.\[nsfwjs\]'"):
        fetch_nsfwjs(tmp_path, given_package, quiet)
