"""The first layer by patches computes what the convolution over normalised planes computed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip.transformer import VisionTransformer

from serve_app.models.patches import PatchProjection, with_patch_projection

MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)


def random_views(count: int, rows_px: int, columns_px: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, rows_px, columns_px, 3), dtype=torch.uint8)


def normalised(views: torch.Tensor) -> torch.Tensor:
    return ((views.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)


def transformer(size_px: int = 32, patch_px: int = 16) -> VisionTransformer:
    return VisionTransformer(size_px, patch_px, width=32, layers=1, heads=2, mlp_ratio=2, output_dim=8).eval()


@given(
    count=st.integers(1, 3),
    patch_px=st.integers(1, 9),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    width=st.integers(1, 5),
    has_bias=st.booleans(),
)
@torch.inference_mode()
def test_every_patch_is_what_the_convolution_makes_of_it(count, patch_px, rows, columns, width, has_bias) -> None:
    convolution = torch.nn.Conv2d(3, width, patch_px, patch_px, bias=has_bias)
    views = random_views(count, rows * patch_px, columns * patch_px)
    projected = PatchProjection(convolution, MEAN, STD)(views.permute(0, 3, 1, 2))
    torch.testing.assert_close(projected, convolution(normalised(views)), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_transformer_computes_the_same_and_the_original_stays_as_it_is() -> None:
    tower, views = transformer(), random_views(3, 32, 32)
    before = tower.conv1
    patched = with_patch_projection(tower, MEAN, STD, 32)
    assert patched is not None
    torch.testing.assert_close(patched(views.permute(0, 3, 1, 2)), tower(normalised(views)), atol=1e-4, rtol=1e-4)
    assert tower.conv1 is before
    assert patched.transformer is tower.transformer


@torch.inference_mode()
def test_in_bf16_it_is_no_further_from_float32_than_the_convolution_is() -> None:
    torch.manual_seed(1)
    convolution, views = torch.nn.Conv2d(3, 64, 16, 16, bias=False), random_views(8, 64, 64)
    exact = convolution(normalised(views))
    by_patches = PatchProjection(convolution, MEAN, STD).bfloat16()(views.permute(0, 3, 1, 2))
    by_convolution = convolution.bfloat16()(normalised(views).bfloat16())
    assert (by_patches - exact).square().mean() <= (by_convolution - exact).square().mean()


def overlapping(tower: VisionTransformer) -> None:
    tower.conv1 = torch.nn.Conv2d(3, 32, 16, 8)


def padded(tower: VisionTransformer) -> None:
    tower.conv1 = torch.nn.Conv2d(3, 32, 16, 16, padding=1)


def of_one_plane(tower: VisionTransformer) -> None:
    tower.conv1 = torch.nn.Conv2d(1, 32, 16, 16)


@pytest.mark.parametrize("change", [overlapping, padded, of_one_plane])
def test_another_first_layer_is_left_alone(change) -> None:
    tower = transformer()
    change(tower)
    assert with_patch_projection(tower, MEAN, STD, 32) is None


def test_patches_that_do_not_fill_the_view_are_left_alone() -> None:
    assert with_patch_projection(transformer(), MEAN, STD, 40) is None


def test_another_network_is_left_alone() -> None:
    assert with_patch_projection(torch.nn.Conv2d(3, 4, 2, 2), MEAN, STD, 32) is None
