"""What a line of the configuration names, told without reading a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.domain import ModelError
from serve_app.models import parse_source, source_name
from serve_app.models.source import EmbeddedModel, FakeModel, FolderModel, HubModel, ModelSource, RandomModel


@pytest.mark.parametrize(
    ("source", "parsed"),
    [
        ("ViT-L-14/openai", HubModel("ViT-L-14", "openai")),
        ("ViT-B-32/laion2b_s34b_b79k", HubModel("ViT-B-32", "laion2b_s34b_b79k")),
        ("./models/my-clip", FolderModel(Path("models/my-clip"))),
        ("../my-clip", FolderModel(Path("../my-clip"))),
        ("/srv/models/my-clip", FolderModel(Path("/srv/models/my-clip"))),
        ("embedded:demo-shapes", EmbeddedModel()),
        ("random:ViT-B-32", RandomModel("ViT-B-32")),
        ("fake", FakeModel()),
        ("fake:200ms", FakeModel(224, 0.2)),
    ],
)
def test_every_kind_of_source_is_told(source: str, parsed: ModelSource) -> None:
    assert parse_source(source) == parsed


def test_a_tilde_is_the_home_folder() -> None:
    assert parse_source("~/my-clip") == FolderModel(Path.home() / "my-clip")


@pytest.mark.parametrize("source", ["models/my-clip", "my-clip"])
def test_a_folder_that_is_there_may_be_named_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    (tmp_path / source).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert parse_source(source) == FolderModel(Path(source))


@pytest.mark.parametrize(
    "source", ["", "ViT-L-14", "no/such/folder", "ViT-L-14/", "random:", "random", "fake:", "fake:0ms", "fake:1s"]
)
def test_what_names_no_model_is_refused_with_the_ways_to_name_one(source: str) -> None:
    with pytest.raises(ModelError, match="neither 'ARCHITECTURE/TAG'") as caught:
        parse_source(source)
    assert repr(source) in str(caught.value)
    assert "embedded:demo-shapes" in str(caught.value)


def test_only_the_demo_model_is_embedded() -> None:
    with pytest.raises(ModelError, match="the only embedded model is 'embedded:demo-shapes'"):
        parse_source("embedded:ViT-L-14")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("embedded:demo-shapes", "demo-shapes"),
        ("ViT-L-14/openai", "ViT-L-14/openai"),
        ("random:ViT-B-32", "random:ViT-B-32"),
        ("fake", "fake"),
        ("fake:200ms", "fake"),
        ("./models/my-clip", "my-clip"),
        ("/srv/models/my-clip/", "my-clip"),
        ("/srv/models/../my-clip", "my-clip"),
    ],
)
def test_a_policy_names_a_model_by_this_name(source: str, name: str) -> None:
    assert source_name(source) == name
