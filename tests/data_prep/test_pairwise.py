"""Means and deviations in pieces are NumPy 2's own of the whole, to the bit, whichever NumPy adds the pieces."""

import numpy as np
import pytest

from data_prep.pairwise import PIECE, mean_and_deviation

# (mean, deviation) of the 1,000,003 values below by NumPy 2.4: NumPy 1 adds so long a row in another order
RECORDED = {
    "int16": ("0x1.3a9da8p+9", "0x1.a3bfaep+7"),
    "uint8": ("0x1.65d9ccp+6", "0x1.dfb5f8p+4"),
    "float32": ("0x1.3add90p+9", "0x1.a3c106p+7"),
}


@pytest.mark.parametrize("size", [1, 7, 129, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5, 1_000_003])
@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32"])
def test_equal_to_the_bit(size, dtype):
    generator = np.random.default_rng(size)
    values = (generator.normal(90, 30, size) * (1 if dtype == "uint8" else 7)).clip(0, 255 if dtype == "uint8" else 3e4)
    values = values.astype(dtype)
    found = mean_and_deviation(values)
    assert {value.dtype for value in found} == {np.dtype(np.float32)}
    if size == 1_000_003:
        assert found == tuple(map(float.fromhex, RECORDED[dtype]))
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        row = values.astype(np.float32)
        assert found == (row.mean(), row.std())


def test_the_order_is_of_the_array_and_not_of_its_memory():
    """A volume whose axes lie otherwise in memory has the numbers of its copy in C order."""
    values = np.random.default_rng(0).normal(size=(40, 50, 60)).astype(np.float32)
    assert mean_and_deviation(np.asfortranarray(values)) == mean_and_deviation(values)
