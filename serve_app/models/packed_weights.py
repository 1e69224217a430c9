"""The layers of a tower with their weights as oneDNN multiplies by them: torch arranges them anew in each pass.

A pass of one view is 43 % shorter in float32 and 20 % in bfloat16, one of sixteen 20 and 8 % (ViT-B-32, two cores with
AVX-512). The operators are those that torch's compiler writes for a frozen model on a CPU
(``torch/_inductor/fx_passes/mkldnn_fusion.py``); they need no compiler where they run.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

from serve_app.models.clip_library import open_clip
from serve_app.models.patches import PatchProjection

# torch gives them no public name; one that is missing in a later version leaves towers as they are.
_arranged: Any = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
_multiplied: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
_has_bfloat16: Any = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
_has_acl: Any = getattr(torch.ops.mkldnn, "_is_mkldnn_acl_supported", None)

_PLAIN, _GELU = "none", "gelu"


def pack_weights(tower: nn.Module) -> None:
    """Replace layers of a ``tower`` that computes on the CPU, where torch has what it takes and computes the same.

    These are our own projection of patches, and attention and MLP of open_clip's usual block, which nobody looks into.
    All other layers stay as they are: a library may multiply by their weights itself. The results differ by rounding.
    Blocks are changed in place, so that the model that they were loaded with can serve this ``dtype`` on the CPU alone.
    """
    if not _can_pack(next(tower.parameters()).dtype):
        return
    for module in list(tower.modules()):
        if isinstance(module, PatchProjection):
            _pack_linears(module)
        elif type(module) is open_clip.transformer.ResidualAttentionBlock and not hasattr(module, "ln_1_kv"):
            if type(module.attn) is nn.MultiheadAttention and _is_plain(module.attn):
                module.attn = PackedAttention(module.attn)
            if type(module.mlp) is nn.Sequential:
                _pack_linears(module.mlp)


class PackedLinear(nn.Module):
    """A linear layer, and the GELU that follows it if there is one, in one operation."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, gelu: nn.GELU | None = None) -> None:
        """``weight`` is ``(width after, width before)``."""
        super().__init__()
        # How many rows it is arranged for makes no difference that can be measured.
        packed = _arranged(weight.detach().contiguous(), None)
        self.register_buffer("_weight", packed, persistent=False)
        self.register_buffer("bias", None if bias is None else bias.detach(), persistent=False)
        self._then, self._kind = (_PLAIN, "") if gelu is None else (_GELU, gelu.approximate)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Of ``(..., width before)``, those of ``(..., width after)``."""
        result: torch.Tensor = _multiplied(rows, self._weight, self.bias, self._then, [], self._kind)
        return result


class PackedAttention(nn.Module):
    """Self-attention over packed layers, in the place of :class:`torch.nn.MultiheadAttention`."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self._heads = attention.num_heads
        self._projected = PackedLinear(attention.in_proj_weight, attention.in_proj_bias)
        self._joined = PackedLinear(attention.out_proj.weight, attention.out_proj.bias)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        need_weights: bool = False,
        attn_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, None]:
        """Of ``(views, tokens, width)``, which is key and value too; a mask is added. No weights are given back."""
        views, tokens, width = query.shape
        projected = self._projected(query).view(views, tokens, 3, self._heads, width // self._heads)
        queries, keys, values = projected.permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask)
        return self._joined(attended.transpose(1, 2).reshape(views, tokens, width)), None


def _can_pack(dtype: torch.dtype) -> bool:
    """Whether torch has the operators, and they compute what its layers do."""
    if _arranged is None or _multiplied is None or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype is not torch.float32 and not (dtype is torch.bfloat16 and _has_bfloat16 and _has_bfloat16()):
        return False
    rows, weight = (torch.linspace(-1, 1, 64 * count).view(count, 64).to(dtype) for count in (3, 64))
    try:
        with torch.inference_mode():
            packed = PackedLinear(weight, None, nn.GELU() if _can_fuse() else None)(rows)
    except (RuntimeError, TypeError):
        return False
    plain = nn.functional.linear(rows, weight)
    return torch.allclose(packed, nn.functional.gelu(plain) if _can_fuse() else plain, rtol=0.02, atol=0.02)


def _can_fuse() -> bool:
    """Not where ARM's own library multiplies: torch's compiler says that it cannot speed up a fused product."""
    return _has_acl is None or not _has_acl()


def _pack_linears(module: nn.Module) -> None:
    last = ("", nn.Identity())
    for (name, child), (after_name, after) in pairwise([*module.named_children(), last]):
        if type(child) is not nn.Linear:
            continue
        gelu = after if type(after) is nn.GELU and _can_fuse() else None
        setattr(module, name, PackedLinear(child.weight, child.bias, gelu))
        if gelu is not None:
            setattr(module, after_name, nn.Identity())


def _is_plain(attention: nn.MultiheadAttention) -> bool:
    """Whether it is the attention that all CLIP towers have, of a sequence to itself."""
    return (
        attention.batch_first
        and attention.in_proj_weight is not None
        and attention.bias_k is None
        and not attention.add_zero_attn
    )
