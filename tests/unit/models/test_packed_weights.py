"""A tower whose weights are packed computes what it computed before."""

from __future__ import annotations

import copy
from functools import partial

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


def tower(**options: object) -> nn.Module:
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
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(("dtype", "differs"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize("count", [1, 5])
@torch.inference_mode()
def test_every_tower_computes_what_it_did(
    options: dict[str, object], dtype: torch.dtype, differs: float, count: int
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


def test_what_a_library_may_multiply_by_itself_stays_as_it_is() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows @ self.layer.weight

    own = nn.Sequential(Own(), nn.Linear(8, 4, bias=False))
    rows = torch.rand(3, 8)
    before = own(rows)
    pack_weights(own)
    assert isinstance(own[0].layer, nn.Linear)
    assert isinstance(own[1], PackedLinear)
    assert torch.allclose(own(rows), before, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{"batch_first": False}, {"add_zero_attn": True}, {"add_bias_kv": True}, {"kdim": 4}]
)
def test_another_attention_than_clip_has_stays_as_it_is(options: dict[str, object]) -> None:
    attention = nn.Sequential(nn.MultiheadAttention(8, 2, **{"batch_first": True, **options}))
    pack_weights(attention)
    assert isinstance(attention[0], nn.MultiheadAttention)


def test_where_torch_cannot_nothing_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = nn.Sequential(nn.Linear(8, 4))
    pack_weights(plain)
    assert isinstance(plain[0], nn.Linear)
    half = nn.Sequential(nn.Linear(8, 4)).half()
    monkeypatch.undo()
    pack_weights(half)
    assert isinstance(half[0], nn.Linear)
