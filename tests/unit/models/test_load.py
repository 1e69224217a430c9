"""A model source becomes a loaded model, or an error that says what to do."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from serve_app.domain import ModelError
from serve_app.models.load import load_model

if TYPE_CHECKING:
    from tests.unit.models.conftest import MakeModel

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)


def test_a_folder_as_open_clip_writes_it_is_loaded(make_model: MakeModel) -> None:
    model = load_model(str(make_model("my-clip")))
    assert (model.identity.name, model.identity.image_size_px, model.identity.notice) == ("my-clip", 32, None)
    assert (model.mean, model.std) == ((0.1, 0.2, 0.3), (0.5, 0.4, 0.3))
    assert model.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)
    assert not model.network.training
    assert model.tokenize(["a red shape"]).shape == (1, 8)


def test_a_folder_with_a_bare_architecture_is_loaded(make_model: MakeModel) -> None:
    model = load_model(str(make_model("bare-clip", bare=True)))
    assert (model.identity.name, model.identity.image_size_px) == ("bare-clip", 32)
    assert model.mean == OPENAI_MEAN  # that form says nothing of preprocessing; open_clip's own default holds
    assert model.tokenize(["a red shape"]).shape == (1, 8)


@pytest.mark.parametrize("bare", [False, True])
def test_the_weights_are_those_of_the_file(make_model: MakeModel, bare: bool) -> None:
    folder = make_model(f"weights-{bare}", bare=bare)
    (file,) = folder.glob("*.safetensors")
    loaded = load_model(str(folder)).network.state_dict()
    for name, expected in load_file(file).items():
        torch.testing.assert_close(loaded[name], expected, rtol=0, atol=0)


def test_a_model_trained_with_quick_gelu_computes_with_it(make_model: MakeModel) -> None:
    plain, quick = make_model("plain"), make_model("quick", quick_gelu=True)
    picture = torch.ones(1, 3, 32, 32)
    with torch.inference_mode():
        features = [load_model(str(folder)).network.encode_image(picture) for folder in (plain, quick)]
    assert not torch.allclose(*features)


def test_the_digest_follows_weights_and_configuration_and_nothing_else(make_model: MakeModel) -> None:
    digests = [
        load_model(str(folder)).identity.digest
        for folder in (make_model("one"), make_model("same"), make_model("other", seed=1))
    ]
    assert re.fullmatch("[0-9a-f]{64}", digests[0])
    assert digests[0] == digests[1] != digests[2]

    config = make_model("normalised") / "open_clip_config.json"
    config.write_text(config.read_text("utf-8").replace("0.3", "0.4"), "utf-8")
    assert load_model(str(config.parent)).identity.digest not in digests


def test_random_weights_are_the_same_every_time_and_say_so(make_model: MakeModel) -> None:
    open_clip.add_model_config(make_model("random-clip", bare=True) / "random-clip.json")
    first, second = (load_model("random:random-clip") for _ in range(2))
    assert first.identity == second.identity
    assert first.identity.notice is not None
    assert "protects nobody" in first.identity.notice
    torch.testing.assert_close(first.network.state_dict(), second.network.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ViT-B-23/openai", r"no architecture 'ViT-B-23'; did you mean .*ViT-B-32"),
        ("random:ViT-B-23", r"no architecture 'ViT-B-23'; did you mean .*ViT-B-32"),
        ("zzzzzzzz/openai", r"no architecture 'zzzzzzzz'\Z"),
        ("ViT-B-32/laion2b_s34b", r"no weights 'laion2b_s34b' for ViT-B-32; did you mean .*laion2b_s34b_b79k"),
        ("ViT-B-32/zzzzzzzz", r"no weights 'zzzzzzzz' for ViT-B-32\Z"),
        ("./nowhere/my-clip", r"model folder nowhere/my-clip does not exist"),
        ("fake", "no model to load"),
    ],
)
def test_what_is_not_known_is_refused_with_a_guess(source: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(source)


def test_a_folder_without_weights_is_refused(make_model: MakeModel) -> None:
    folder = make_model()
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has 0 files \*\.safetensors, and needs one"):
        load_model(str(folder))


def test_a_folder_with_two_weights_is_refused(make_model: MakeModel) -> None:
    folder = make_model()
    save_file({"other": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"has 2 files \*\.safetensors, and needs one"):
        load_model(str(folder))


def test_the_weights_that_are_loaded_are_those_of_the_digest(make_model: MakeModel) -> None:
    # open_clip prefers open_clip_pytorch_model.bin over a safetensors file of an unknown name.
    folder = make_model()
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"pickled by who knows whom")
    load_model(str(folder))
    (folder / "open_clip_model.safetensors").rename(folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors and open_clip_pytorch_model\.bin.*name the safetensors"):
        load_model(str(folder))


def test_a_folder_without_a_configuration_is_refused(make_model: MakeModel) -> None:
    folder = make_model()
    (folder / "open_clip_config.json").unlink()
    with pytest.raises(ModelError, match=r"has 0 files \*\.json, and needs one: an open_clip configuration"):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{not json", "bad.json is not JSON"),
        ("", "bad.json is not JSON"),
        ("7", "it has no embed_dim, vision_cfg, text_cfg"),
        ("[]", "it has no embed_dim, vision_cfg, text_cfg"),
        ('{"embed_dim": 16, "text_cfg": {}}', "it has no vision_cfg"),
        ('{"embed_dim": 16, "vision_cfg": 5, "text_cfg": []}', "cannot be loaded"),
    ],
)
def test_a_bad_architecture_is_refused_and_leaves_open_clip_whole(
    make_model: MakeModel, text: str, message: str
) -> None:
    folder = make_model("bad", bare=True)
    (folder / "bad.json").write_text(text, "utf-8")
    with pytest.raises(ModelError, match=message):
        load_model(str(folder))
    load_model(str(make_model("good", bare=True)))


@pytest.mark.parametrize("text", ["{not json", "{}", "[]", '{"model_cfg": {}}', '{"model_cfg": 7}'])
def test_a_bad_configuration_is_refused(make_model: MakeModel, text: str) -> None:
    folder = make_model()
    (folder / "open_clip_config.json").write_text(text, "utf-8")
    with pytest.raises(ModelError, match=r"cannot be loaded: (?!\w*Error)"):
        load_model(str(folder))


@pytest.mark.parametrize("weights", [b"", b"no safetensors at all", (10**12).to_bytes(8, "little")])
@pytest.mark.parametrize("bare", [False, True])
def test_broken_weights_are_refused(make_model: MakeModel, weights: bytes, bare: bool) -> None:
    folder = make_model("broken", bare=bare)
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(weights)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(folder))


def test_weights_of_another_architecture_are_refused(make_model: MakeModel) -> None:
    wide, narrow = make_model("wide", embed_dim=24), make_model("narrow")
    (wide / "open_clip_model.safetensors").replace(narrow / "open_clip_model.safetensors")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(narrow))


def test_a_model_that_looks_at_no_squares_is_refused(make_model: MakeModel) -> None:
    oblong = {"image_size": [32, 48], "patch_size": 16, "layers": 1, "width": 32, "head_width": 16}
    with pytest.raises(ModelError, match="takes 32x48 pictures, and only square ones are cut"):
        load_model(str(make_model(vision_cfg=oblong)))


def test_the_logit_scale_is_that_of_the_weights(make_model: MakeModel) -> None:
    folder = make_model()
    file = folder / "open_clip_model.safetensors"
    save_file(load_file(file) | {"logit_scale": torch.tensor(math.log(100.0))}, file)
    assert load_model(str(folder)).logit_scale == pytest.approx(100.0, rel=1e-5)


def test_the_folder_is_only_read(make_model: MakeModel) -> None:
    folder = make_model()
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    load_model(str(folder))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert "model_cfg" in json.loads(before["open_clip_config.json"])


def test_a_relative_folder_is_found(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_model("here").parent)
    assert load_model("./here").identity == load_model(str(Path("here").resolve())).identity
