"""Bytes to float32, as TensorFlow.js makes it of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from serve_app.domain import ModelError
from serve_app.models.nsfwjs.topology import Group, Quantization, Weight
from serve_app.models.nsfwjs.weights import dequantised

QUANTIZATION = Quantization(min=-1.4339039704378913, scale=0.009754448778489057, dtype="uint8")


def weight(name: str, *shape: int, quantization: Quantization = QUANTIZATION) -> Weight:
    return Weight(name=name, shape=shape, dtype="float32", quantization=quantization)


def group(*weights: Weight) -> Group:
    return Group(paths=("shard",), weights=weights)


@given(st.binary(min_size=1, max_size=30), st.floats(-3, 3), st.floats(0, 0.1))
def test_every_value_is_computed_in_float64_and_rounded_once(body: bytes, least: float, scale: float) -> None:
    quantization = Quantization(min=least, scale=scale, dtype="uint8")
    arrays = dequantised(group(weight("w", len(body), quantization=quantization)), body)
    assert_array_equal(arrays["w"], np.array([np.float32(byte * scale + least) for byte in body]))


def test_arrays_stand_one_after_another_in_their_shapes() -> None:
    arrays = dequantised(group(weight("a", 2, 3), weight("b", 1)), bytes(range(7)))
    values = [np.float32(byte * QUANTIZATION.scale + QUANTIZATION.min) for byte in range(7)]
    assert_array_equal(arrays["a"], np.reshape(values[:6], (2, 3)))
    assert_array_equal(arrays["b"], values[6:])


@pytest.mark.parametrize("length", [0, 5, 7])
def test_bytes_that_are_more_or_fewer_are_an_error(length: int) -> None:
    with pytest.raises(ModelError, match=f"6 values, and {length} bytes"):
        dequantised(group(weight("a", 2, 3)), bytes(length))


def test_a_size_that_nobody_could_hold_is_an_error_before_it_is_made() -> None:
    with pytest.raises(ModelError, match="and 3 bytes are there"):
        dequantised(group(weight("a", *[100_000] * 4)), b"abc")


def test_a_name_that_stands_twice_is_an_error() -> None:
    with pytest.raises(ModelError, match="'a' stands twice"):
        dequantised(group(weight("a", 1), weight("a", 1)), b"ab")
