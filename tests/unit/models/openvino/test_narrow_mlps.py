"""Blocks with narrow layers compute what they computed, and the original keeps its own."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.models.openvino.narrow_mlps import with_narrow_mlps


def mlp(width: int, between: int, has_last_bias: bool = True, names: tuple[str, ...] = ("c_fc", "gelu", "c_proj")):
    first, last = torch.nn.Linear(width, between), torch.nn.Linear(between, width, bias=has_last_bias)
    return torch.nn.Sequential(OrderedDict(zip(names, (first, torch.nn.GELU(), last), strict=True)))


def linears(network: torch.nn.Module) -> list[torch.nn.Linear]:
    return [each for each in network.modules() if isinstance(each, torch.nn.Linear)]


@given(width=st.integers(1, 8), between=st.integers(1, 4100), has_last_bias=st.booleans())
@settings(deadline=None)
@torch.inference_mode()
def test_every_width_computes_the_same(width: int, between: int, has_last_bias: bool) -> None:
    network, features = torch.nn.Sequential(mlp(width, between, has_last_bias)), torch.randn(2, 3, width)
    narrow = with_narrow_mlps(network)
    torch.testing.assert_close(narrow(features), network(features), atol=1e-4, rtol=1e-4)
    assert all(min(layer.in_features, layer.out_features) <= 1024 for layer in linears(narrow))
    assert max(layer.in_features for layer in linears(narrow)) <= 1024


def test_weights_are_shared_and_the_original_keeps_its_layers() -> None:
    network = torch.nn.Sequential(mlp(4, 2048), torch.nn.Linear(4, 4))
    before = linears(network)
    narrow = with_narrow_mlps(network)
    assert linears(network) == before
    assert len(linears(narrow)) == 5
    own = {layer.weight.untyped_storage().data_ptr() for layer in before}
    assert {layer.weight.untyped_storage().data_ptr() for layer in linears(narrow)} == own


@pytest.mark.parametrize("network", [mlp(4, 1024), mlp(4, 4096, names=("fc1", "act", "fc2"))])
def test_what_is_narrow_or_called_otherwise_is_left_alone(network: torch.nn.Module) -> None:
    assert len(linears(with_narrow_mlps(torch.nn.Sequential(network)))) == 2
