"""Means and deviations in pieces are NumPy's own of the whole, to the bit."""

import numpy as np
import pytest

from data_prep.pairwise import PIECE, mean_and_deviation


def expected(values):
    """By NumPy's sum over the whole row; `initial` makes NumPy 1 add in NumPy 2's order."""
    row = values.astype(np.float32).reshape(-1)
    mean = np.float32(np.float64(np.add.reduce(row, initial=0)) / row.size)
    squares = np.multiply(row - mean, row - mean)
    return mean, np.sqrt(np.float32(np.float64(np.add.reduce(squares, initial=0)) / row.size))


@pytest.mark.parametrize("size", [1, 7, 129, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5, 1_000_003])
@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32"])
def test_equal_to_the_bit(size, dtype):
    generator = np.random.default_rng(size)
    values = (generator.normal(90, 30, size) * (1 if dtype == "uint8" else 7)).clip(0, 255 if dtype == "uint8" else 3e4)
    values = values.astype(dtype)
    found = mean_and_deviation(values)
    assert found == expected(values) and {value.dtype for value in found} == {np.dtype(np.float32)}
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        row = values.astype(np.float32)
        assert found == (row.mean(), row.std())


def test_the_order_is_of_the_array_and_not_of_its_memory():
    """A volume whose axes lie otherwise in memory has the numbers of its copy in C order."""
    values = np.random.default_rng(0).normal(size=(40, 50, 60)).astype(np.float32)
    assert mean_and_deviation(np.asfortranarray(values)) == mean_and_deviation(values)
