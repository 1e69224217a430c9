"""Both sides of an engine's utilisation: operations counted, products timed."""

from __future__ import annotations

import pytest
import torch
from open_clip.transformer import VisionTransformer

from benchmarks.matrix_rate import flop_of, flop_per_s
from benchmarks.processes import measured_apart


def test_a_vision_transformer_has_the_operations_of_its_matrix_products() -> None:
    width, layers, patch_px, size_px, out = 64, 2, 16, 64, 24
    tower = VisionTransformer(
        image_size=size_px, patch_size=patch_px, width=width, layers=layers, heads=4, mlp_ratio=4.0, output_dim=out
    ).eval()
    patches = (size_px // patch_px) ** 2
    tokens = patches + 1
    embedding = patches * 3 * patch_px**2 * width
    projections = tokens * width * (3 * width + width)
    attention = 2 * tokens**2 * width
    mlp = 2 * tokens * width * 4 * width
    had_fast_path = torch.backends.mha.get_fastpath_enabled()
    assert flop_of(tower, size_px) == 2 * (embedding + layers * (projections + attention + mlp) + width * out)
    assert torch.backends.mha.get_fastpath_enabled() == had_fast_path


@pytest.mark.slow
def test_the_matrix_rate_of_this_machine_is_measured_in_the_engines_precision() -> None:
    assert measured_apart(flop_per_s, "cpu", "bf16", 1, duration_s=0.01, sides=(8, 64)) > 0
