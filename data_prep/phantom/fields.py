"""What made-up pictures are drawn with: smooth noise, blur and soft edges, in any number of dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def smooth_noise(rng: np.random.Generator, shape: Sequence[int], scale: float | Sequence[float]) -> np.ndarray:
    """White noise on a coarse lattice, interpolated by cubic B-splines; no period, no visible lattice.

    Args:
        rng: a `numpy.random.Generator`.
        shape: of the result.
        scale: lattice spacing along each axis, in samples; below 1 that axis stays white.

    Returns:
        float32 array of that shape; every sample is normal with mean 0 and variance 1.
    """
    scale = [float(s) for s in np.broadcast_to(scale, len(shape))]
    lattice = [n if s < 1 else int(n / s) + 5 for n, s in zip(shape, scale, strict=True)]
    field = rng.standard_normal(lattice, dtype=np.float32)
    for axis, (n, s) in enumerate(zip(shape, scale, strict=True)):
        shift = rng.random()
        if s < 1:
            continue
        index, t = np.divmod(np.arange(n) / s + shift, 1.0)
        weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3])
        weights = (weights / np.sqrt(np.sum(weights**2, axis=0))).astype(np.float32)
        across = [-1 if a == axis else 1 for a in range(len(shape))]
        taps = [np.take(field, index.astype(int) + k, axis=axis) * weights[k].reshape(across) for k in range(4)]
        field = taps[0] + taps[1] + taps[2] + taps[3]
    return field


def blurred(array: np.ndarray, sigma: float, axes: Sequence[int]) -> np.ndarray:
    """Gaussian blur along some axes, `sigma` in samples, the border repeated; float32 in, float32 out."""
    radius = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for axis in axes:
        n = array.shape[axis]
        padded = np.pad(array, [(radius, radius) if a == axis else (0, 0) for a in range(array.ndim)], mode="edge")
        array = sum(np.take(padded, np.arange(k, k + n), axis=axis) * weight for k, weight in enumerate(kernel))
    return array


def ramp(level: np.ndarray, width: float) -> np.ndarray:
    """0 to 1 as `level` goes from -width/2 to width/2, with smooth ends."""
    t = np.clip(level / width + 0.5, 0, 1)
    return t * t * (3 - 2 * t)
