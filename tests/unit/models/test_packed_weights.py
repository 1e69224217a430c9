"""A tower whose weights are packed computes what it computed before."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from serve_app.models import packed_weights
from serve_app.models.clip_library import open_clip
from serve_app.models.packed_weights import PackedAttention, PackedLinear, pack_weights
from serve_app.models.patches import with_patch_projection

SIZE_PX = 32

pytestmark = pytest.mark.skipif(
    not packed_weights._can_pack(torch.float32), reason="torch was built without oneDNN: nothing is packed"
)


def tower(**options: Any) -> nn.Module:
    """A vision transformer of CLIP in small, for views as they are."""
    torch.manual_seed(7)
    made = open_clip.transformer.VisionTransformer(
        **{
            "image_size": SIZE_PX, "patch_size": 8, "width": 64, "layers": 2, "heads": 4, "mlp_ratio": 4.0,
            "output_dim": 16, **options,
        }
    ).eval()  # fmt: skip
    patched = with_patch_projection(made, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), SIZE_PX)
    assert patched is not None
    return patched


def views(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, SIZE_PX, SIZE_PX), dtype=torch.uint8)


OPTIONS = {
    "as it is": {},
    "tanh": {"act_layer": partial(nn.GELU, approximate="tanh")},
    "quick": {"act_layer": open_clip.transformer.QuickGELU},
    "scaled": {"ls_init_value": 0.1},
    "averaged": {"pool_type": "avg"},
    "attention pooled": {"attentional_pool": True},
    "attention pooled at its width": {"attentional_pool": True, "output_dim": 64},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(("dtype", "differs"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize("count", [1, 5])
@torch.inference_mode()
def test_every_tower_computes_what_it_did(
    options: dict[str, Any], dtype: torch.dtype, differs: float, count: int
) -> None:
    if not packed_weights._can_pack(dtype):
        pytest.skip(f"oneDNN has no {dtype} on this processor")
    plain = tower(**options).to(dtype)
    packed = copy.deepcopy(plain)
    pack_weights(packed)
    shown = views(count)
    one, other = (nn.functional.normalize(each(shown).float(), dim=-1) for each in (plain, packed))
    assert (one - other).abs().max() < differs
    kinds = {type(each) for each in packed.get_submodule("transformer").modules()}
    assert {PackedLinear, PackedAttention} <= kinds
    assert not kinds & {nn.Linear, nn.MultiheadAttention, nn.GELU}
    assert isinstance(packed.get_submodule("conv1._project"), PackedLinear)


def test_a_picture_still_matters_where_a_query_of_its_own_pools_it() -> None:
    pooled = tower(attentional_pool=True, output_dim=64)
    pack_weights(pooled)
    with torch.inference_mode():
        black, white = pooled(torch.stack([torch.full((3, SIZE_PX, SIZE_PX), level) for level in (0, 255)]).byte())
    assert (black - white).abs().max() > 0.01


def test_layers_that_a_library_may_multiply_by_itself_stay_as_they_are() -> None:
    layers = nn.Sequential(nn.Linear(8, 4), nn.GELU(), nn.MultiheadAttention(8, 2, batch_first=True))
    pack_weights(layers)
    assert [type(each) for each in layers] == [nn.Linear, nn.GELU, nn.MultiheadAttention]


@pytest.mark.parametrize("options", [{"batch_first": False}, {"add_zero_attn": True}, {"add_bias_kv": True}])
def test_another_attention_than_clip_has_stays_as_it_is(options: dict[str, Any]) -> None:
    block = tower().get_submodule("transformer.resblocks.0")
    block.attn = nn.MultiheadAttention(64, 4, **{"batch_first": True, **options})
    pack_weights(block)
    assert type(block.attn) is nn.MultiheadAttention
    assert isinstance(block.get_submodule("mlp.c_fc"), PackedLinear)


def broken(*_: object) -> torch.Tensor:
    raise RuntimeError("no such signature")


def other(rows: torch.Tensor, *_: object) -> torch.Tensor:
    return torch.zeros(*rows.shape[:-1], 64)


@pytest.mark.parametrize("operator", [None, broken, other])
def test_where_torch_cannot_or_computes_something_else_nothing_is_packed(
    monkeypatch: pytest.MonkeyPatch, operator: object
) -> None:
    monkeypatch.setattr(packed_weights, "_multiplied", operator)
    plain = tower()
    pack_weights(plain)
    assert not {type(each) for each in plain.modules()} & {PackedLinear, PackedAttention}


def test_another_type_than_it_multiplies_is_not_packed() -> None:
    half = tower().half()
    pack_weights(half)
    assert not {type(each) for each in half.modules()} & {PackedLinear, PackedAttention}


def test_where_a_fused_product_is_slow_gelu_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_weights, "_has_acl", lambda: True)
    plain = tower()
    packed = copy.deepcopy(plain)
    pack_weights(packed)
    assert nn.GELU in {type(each) for each in packed.modules()}
    shown = views(2)
    with torch.inference_mode():
        assert torch.allclose(plain(shown), packed(shown), atol=1e-4)
