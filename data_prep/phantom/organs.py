"""A made-up abdomen in CT: liver, spleen, kidneys and a tumour in the liver whose border nobody knows.

Anatomy is drawn in millimetres from implicit surfaces (positive inside, roughly the distance to the border) roughened by
smooth noise, then every tissue gets its Hounsfield units. As in the made-up brain, the tumour's label is crisp but wanders
by smooth noise that the image does not show, while the image fades over some millimetres: there even a perfect model has
to be unsure. Drawn in the voxel order LPS: x to the patient's left, y to the back, z upwards.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from data_prep.phantom.fields import blurred, ramp, smooth_noise

LABELS = {"liver": 1, "spleen": 2, "kidney": 3, "tumour": 4}
HOUNSFIELD = {
    "air": -1000,
    "fat": -100,
    "soft": 35,
    "bone": 420,
    "liver": 100,
    "spleen": 155,
    "kidney": 225,
    "tumour": 0,
}
BODY = (128.0, 172.0)  # half axes (y, x) of the largest body in millimetres
HEIGHT = 200.0  # of the scan, in millimetres


@dataclasses.dataclass(frozen=True)
class Abdomen:
    """One made-up patient.

    image: int16 [depth, height, width] in Hounsfield units.  labels: uint8 of the same shape, 0 and `LABELS`.
    spacing: (z, y, x) in millimetres.
    """

    image: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class _Grid:
    shape: tuple
    spacing: tuple

    def points(self):
        """Millimetres from the centre along z, y and x, three arrays that broadcast to [depth, height, width]."""
        axes = [
            (np.arange(n, dtype=np.float32) - (n - 1) / 2) * s for n, s in zip(self.shape, self.spacing, strict=True)
        ]
        return np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij", sparse=True)

    def noise(self, rng, millimetres):
        """Smooth noise of unit variance whose bumps are about that wide."""
        return smooth_noise(rng, self.shape, [millimetres / s for s in self.spacing])


def organs(
    rng: np.random.Generator, shape: tuple[int, ...], lacking: tuple[str, ...] = (), hard: bool = False
) -> Abdomen:
    """Draws one patient.

    Args:
        rng: a `numpy.random.Generator`; everything depends on its state and the arguments only.
        shape: about (depth, height, width) in voxels: each is up to a tenth larger or smaller, and the voxel size differs
            by more, so that no two patients lie on one grid.
        lacking: names of `LABELS` that this patient has not.
        hard: a faint tumour with wide borders in a noisier image.

    Returns:
        An `Abdomen`.
    """
    grid = _grid(rng, shape)
    scale = float(rng.uniform(0.88, 1.0))
    body = _body(rng, grid, scale)
    levels = _levels(rng, grid, scale, body)
    tumour = _tumour(rng, grid, scale, levels["liver"], hard)
    levels = {name: level for name, level in levels.items() if name not in lacking}
    labels = np.zeros(grid.shape, np.uint8)
    for name, level in levels.items():
        labels[level > 0] = LABELS[name]
    fractions = {name: ramp(level, 5.0) for name, level in levels.items()}
    if "tumour" not in lacking and "liver" in levels:
        shown, border = tumour
        fractions["tumour"] = shown
        labels[(border > 0) & (labels == LABELS["liver"])] = LABELS["tumour"]
    image = _expose(rng, grid, scale, body, fractions, hard)
    return Abdomen(image, labels, grid.spacing)


def _grid(rng, shape):
    """Voxels, square in plane, just large enough for the largest body or up to a quarter larger."""
    sizes = [max(16, round(size * float(rng.uniform(0.9, 1.1)))) for size in shape]
    in_plane = max(2 * BODY[0] / sizes[1], 2 * BODY[1] / sizes[2]) * float(rng.uniform(1.03, 1.28))
    in_plane = round(in_plane, 3)
    return _Grid(tuple(sizes), (round(HEIGHT / sizes[0] * float(rng.uniform(0.95, 1.1)), 3), in_plane, in_plane))


def _ellipsoid(grid, centre, radii):
    """About the distance to the surface of an ellipsoid, positive inside; centre and radii (z, y, x) in millimetres."""
    z, y, x = grid.points()
    radius = np.sqrt(sum(((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), centre, radii, strict=True)))
    return (1 - radius) * (sum(radii) / 3)


def _body(rng, grid, scale):
    """Millimetres below the skin, positive inside: an oval through all slices."""
    _, y, x = grid.points()
    radius = np.sqrt((y / (BODY[0] * scale)) ** 2 + (x / (BODY[1] * scale)) ** 2)
    level = (1 - radius) * (BODY[0] + BODY[1]) / 2 * scale
    return (level + 2.0 * grid.noise(rng, 60)).astype(np.float32)


def _levels(rng, grid, scale, body):
    """{organ: level}, each clear of the others. The liver lies on the right, which is where x is small in LPS."""

    def organ(centre, radii, rough):
        moved = [scale * c + float(rng.normal(0, 4)) for c in centre]
        grown = [scale * r * float(rng.uniform(0.88, 1.1)) for r in radii]
        return _ellipsoid(grid, moved, grown) + rough * grid.noise(rng, 30) + 0.5 * rough * grid.noise(rng, 14)

    kidneys = np.maximum(organ((-40, 55, -62), (48, 26, 26), 1.5), organ((-26, 55, 64), (48, 26, 26), 1.5))
    spleen = organ((36, 36, 94), (46, 52, 36), 2.0)
    liver = np.maximum(organ((22, 0, -78), (66, 78, 64), 3.0), organ((42, -42, -8), (34, 36, 62), 3.0))
    inside = body - 24
    kidneys = np.minimum(kidneys, inside)
    spleen = np.minimum(np.minimum(spleen, inside), -kidneys - 4)
    liver = np.minimum(np.minimum(liver, inside), np.minimum(-kidneys, -spleen) - 4)
    return {"liver": liver, "spleen": spleen, "kidney": kidneys}


def _tumour(rng, grid, scale, liver, hard):
    """(fraction as the image shows it, level of the labelled border) of one tumour, or of two."""
    level = np.full(grid.shape, -99.0, np.float32)
    for _ in range(1 + int(rng.random() < 0.3)):
        centre = scale * np.array((22, 0, -78)) + rng.uniform(-1, 1, 3) * (30, 36, 26)
        radius = float(rng.uniform(24, 38))
        level = np.maximum(level, _ellipsoid(grid, centre.tolist(), (radius * 1.1, radius, radius)))
    level = level + 3.0 * grid.noise(rng, 28)
    level = np.minimum(level, liver - 2)
    softness = float(rng.uniform(8, 15)) * (1.5 if hard else 1.0)
    wander = float(rng.uniform(1.6, 2.8)) * (1.25 if hard else 1.0)
    border = level + wander * (0.8 * grid.noise(rng, 26) + 0.6 * grid.noise(rng, 13))
    visibility = float(rng.uniform(0.45, 0.6)) if hard else float(rng.uniform(0.85, 1.1))
    return visibility * ramp(level, softness), border


def _expose(rng, grid, scale, body, fractions, hard):
    """int16 Hounsfield units: tissues mixed, texture, blur and noise."""
    units = {name: value + float(rng.normal(0, 8)) for name, value in HOUNSFIELD.items()}
    units["air"] = float(HOUNSFIELD["air"])
    image = units["air"] + ramp(body, 6) * (units["fat"] - units["air"])
    image = image + ramp(body - float(rng.uniform(12, 20)), 6) * (units["soft"] - units["fat"])
    lobules = ramp(grid.noise(rng, 22) - 1.1, 0.5) * ramp(body - 26, 8)
    image = image + 0.8 * lobules * (units["fat"] - image)  # fat between the bowels
    bowel = ramp(grid.noise(rng, 18) - 2.3, 0.4) * ramp(body - 30, 8)
    image = image + 0.6 * bowel * (units["air"] - image)
    _, y, x = grid.points()
    spine = ramp(20 - np.sqrt((y - 72 * scale) ** 2 + x**2), 6) * np.ones(grid.shape, np.float32)
    image = image + spine * (units["bone"] - image)
    for name, fraction in fractions.items():
        image = image + fraction * (units[name] - image)
    image = blurred(image.astype(np.float32), float(rng.uniform(0.25, 0.5)), axes=(1, 2))
    noise = float(rng.uniform(9, 15)) * (1.35 if hard else 1.0)
    image = image + noise * (0.8 * rng.standard_normal(grid.shape, dtype=np.float32) + 0.6 * grid.noise(rng, 8))
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16)
