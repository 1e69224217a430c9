"""open_clip without torchvision, timm and torch's compiler: what needs one of them still has it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.models.conftest import MakeModel

NEVER_SERVING = ("torchvision", "sympy", "triton", "torch._dynamo")

_SERVES = """
import sys
from serve_app.models.factory import open_engine
open_engine(sys.argv[1], ("a label",), "cpu", "fp32", 1).warm_up(2, 1e9)
print(*(name for name in sys.argv[2:] if name in sys.modules))
"""

# One architecture of each form of configuration: which keys it has decides which code makes its tower. Tokenizers that
# a hub would be asked for are left out.
_BUILDS_ALL = """
import torch
from serve_app.models.clip_library import open_clip

configs = {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
forms = {(*config["vision_cfg"],): name for name, config in configs.items()}
for name in forms.values():
    with torch.device("meta"):
        tower = open_clip.model._build_vision_tower(configs[name]["embed_dim"], configs[name]["vision_cfg"])
    assert any("timm" in key for key in configs[name]["vision_cfg"]) == (type(tower).__name__ == "TimmModel"), name
for name, config in configs.items():
    if not config["text_cfg"].keys() & {"hf_model_name", "hf_tokenizer_name"}:
        assert open_clip.get_tokenizer(name)(["a label"]).shape[0] == 1
print(len(forms))
"""

_PREPROCESSES = """
import numpy as np
from PIL import Image
from serve_app.models.clip_library import open_clip
from open_clip.transform import PreprocessCfg, image_transform_v2

picture = Image.fromarray(np.full((40, 60, 3), 255, np.uint8))
for mode in ("shortest", "longest", "squash"):
    cfg = PreprocessCfg(size=32, mean=(0, 0, 0), std=(1, 1, 1), resize_mode=mode)
    assert image_transform_v2(cfg, is_train=False)(picture).max() > 0.99, mode
"""

_CANNOT_DO_WITHOUT = """
import sys
sys.path.insert(0, sys.argv[1])
from serve_app.models.deferred import import_without
print(import_without("hasty", "needed").VALUE)
"""


def run(script: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def test_the_demo_model_is_served_with_timm_alone() -> None:
    assert run(_SERVES, "embedded:demo-shapes", *NEVER_SERVING, "timm") == "timm"


def test_a_model_of_open_clips_own_is_served_without_timm(make_model: MakeModel) -> None:
    assert run(_SERVES, str(make_model("tiny")), *NEVER_SERVING, "timm") == ""


def test_open_clips_own_preprocessing_works_all_the_same() -> None:
    run(_PREPROCESSES)


@pytest.mark.slow
def test_every_form_of_architecture_and_every_tokenizer_of_open_clip_can_be_made() -> None:
    assert int(run(_BUILDS_ALL)) > 10


def test_a_library_that_cannot_do_without_is_imported_with_it(tmp_path) -> None:
    (tmp_path / "needed.py").write_text("def answer(): return 42\n", "utf-8")
    (tmp_path / "hasty.py").write_text("import needed\nVALUE = needed.answer()\n", "utf-8")
    assert run(_CANNOT_DO_WITHOUT, str(tmp_path)) == "42"
