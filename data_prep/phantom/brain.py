"""A made-up brain with a tumour: four MR modalities and labels, worth segmenting and never quite certain.

Anatomy is drawn in millimetres from implicit surfaces (positive inside, roughly the distance to the border) roughened
by smooth noise, then each modality gives every tissue its own brightness. The labels are crisp, but their border
wanders by smooth noise that the image does not show, while the image fades over a few millimetres: there, and in
subjects with a faint tumour, even a perfect model has to be unsure.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from data_prep.phantom.fields import blurred, ramp, smooth_noise

MODALITIES = ("flair", "t1", "t2", "t1ce")
NECROSIS, OEDEMA, ENHANCING = 1, 2, 4  # the BraTS 2018 labels

# Brightness by modality, in the order of MODALITIES; a T1's white matter is about 1.
BRIGHTNESS = {
    "white": (0.82, 1.14, 0.72, 1.08),
    "grey": (1.05, 0.82, 1.04, 0.84),
    "fluid": (0.22, 0.35, 2.20, 0.36),
    "oedema": (1.85, 0.74, 1.70, 0.78),
    "core": (1.40, 0.50, 1.85, 0.46),
    "rim": (1.55, 0.86, 1.35, 2.20),
    "spot": (1.70, 0.95, 1.45, 0.95),
    "vessel": (0.60, 0.80, 0.60, 2.00),
}


@dataclasses.dataclass(frozen=True)
class Brain:
    """One made-up patient.

    Attributes:
        modalities: name -> int16 [depth, height, width]; 0 outside the brain and at least 1 inside, in every modality.
        labels: uint8 [depth, height, width]: 0, 1 (necrotic or solid core), 2 (oedema), 4 (enhancing tumour).
        affine: float64 [4, 4], from the indices (x, y, z) of the NIfTI array to millimetres; oblique.
    """

    modalities: dict[str, np.ndarray]
    labels: np.ndarray
    affine: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Grid:
    """The sampling of a volume: voxel counts and voxel sizes in millimetres, both (z, y, x)."""

    shape: tuple
    spacing: tuple

    def points(self):
        """Millimetres from the centre, three arrays that broadcast to [depth, height, width]."""
        axes = [
            (np.arange(n, dtype=np.float32) - (n - 1) / 2) * s for n, s in zip(self.shape, self.spacing, strict=True)
        ]
        return np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij", sparse=True)

    def noise(self, rng, millimetres):
        """Smooth noise of unit variance whose bumps are about that wide."""
        return smooth_noise(rng, self.shape, [millimetres / s for s in self.spacing])


@dataclasses.dataclass(frozen=True)
class _Tumour:
    """What distinguishes one tumour from another; lengths in millimetres."""

    centres: tuple  # of (z, y, x), one or two foci
    radii: tuple
    core: float  # radius of the core, as a part of the whole
    rim: float  # thickness of the enhancing rim, 0 without enhancement
    softness: float  # width over which the image fades at the border
    wander: float  # standard deviation of the label's border about the image's
    visibility: tuple  # by modality: 1 is full contrast, 0 invisible


def brain(rng: np.random.Generator, shape: tuple[int, ...], low_grade: bool = False, hard: bool = False) -> Brain:
    """Draws one patient.

    Args:
        rng: a `numpy.random.Generator`; everything depends on its state and the arguments only.
        shape: (depth, height, width) in voxels; the voxel size follows, so that a whole brain fits.
        low_grade: a smaller tumour, mostly core, that seldom enhances.
        hard: a faint tumour with wide borders in a noisier image.

    Returns:
        A `Brain`.
    """
    grid = _grid(rng, shape)
    head = tuple((np.array([64.0, 82.0, 66.0]) * rng.uniform(0.93, 1.05, 3)).tolist())  # half axes (z, y, x)
    tumour = _draw_tumour(rng, head, low_grade, hard)
    depth = _depth(rng, grid, head)
    white, fluid, vessel = _anatomy(rng, grid, depth, head, tumour)
    parts, labels = _grow(rng, grid, tumour, depth, white, fluid)
    spots = _spots(rng, grid, head, fluid) * (1 - parts["whole"])
    fractions = {"white": white, "fluid": fluid, "vessel": vessel, "spot": spots, **parts}
    blur, noise = rng.uniform(0.25, 0.6), rng.uniform(0.025, 0.055) * (1.35 if hard else 1.0)
    modalities = {}
    for channel, name in enumerate(MODALITIES):
        image = _expose(rng, grid, fractions, channel, tumour.visibility[channel], blur, noise)
        modalities[name] = np.where(depth > 0, image, 0).astype(np.int16)
    return Brain(modalities, labels, _affine(rng, grid))


def _grid(rng, shape):
    """Voxels just large enough for the largest head, square in plane."""
    depth, height, width = shape
    in_plane = max(186 / height, 152 / width) * rng.uniform(0.97, 1.04)
    return _Grid(tuple(shape), (146 / depth * rng.uniform(0.97, 1.04), in_plane, in_plane))


def _affine(rng, grid):
    """Indices run to the right, back and up, as in BraTS, tilted by a few degrees about every axis."""
    tilt = np.deg2rad(rng.uniform(2, 10, 3) * rng.choice([-1, 1], 3))
    rotation = np.eye(3)
    for axis, angle in enumerate(tilt):
        turn = np.eye(3)
        first, second = [a for a in range(3) if a != axis]
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(np.array(grid.spacing[::-1]) * (-1, -1, 1))
    middle = (np.array(grid.shape[::-1]) - 1) / 2
    affine[:3, 3] = rng.uniform(-15, 15, 3) - affine[:3, :3] @ middle
    return affine


def _draw_tumour(rng, head, low_grade, hard):
    side = rng.choice([-1, 1])
    centre = np.array(head) * (rng.uniform(-0.3, 0.35), rng.uniform(-0.5, 0.5), side * rng.uniform(0.3, 0.52))
    radius = rng.uniform(21, 28) if low_grade else rng.uniform(24, 34)
    centres, radii = [centre], [radius]
    if rng.random() < 0.25:  # a second focus, towards the middle of the same half
        step = rng.uniform(-1, 1, 3) * (0.6, 1, 0.3)
        centres.append(centre * (0.8, 0.6, 0.9) + step / np.linalg.norm(step) * radius * 1.15)
        radii.append(radius * rng.uniform(0.45, 0.7))
    enhances = rng.random() < (0.25 if low_grade else 1.0)
    visibility = rng.uniform(0.85, 1.15, 4) * (rng.uniform(0.52, 0.7) if hard else 1.0)
    faint = rng.integers(4)  # one modality shows less than the others
    visibility[faint] *= rng.uniform(0.4, 0.8)
    return _Tumour(
        centres=tuple(tuple(c.tolist()) for c in centres),  # Python's numbers keep the arithmetic in float32,
        radii=tuple(radii),  # under NumPy 1 as under NumPy 2
        core=rng.uniform(0.6, 0.75) if low_grade else rng.uniform(0.5, 0.66),
        rim=rng.uniform(3.5, 6.5) if enhances else 0.0,
        softness=rng.uniform(3, 7) * (1.5 if hard else 1.0),
        wander=rng.uniform(0.6, 1.1) * (1.25 if hard else 1.0),
        visibility=tuple(visibility.tolist()),
    )


def _depth(rng, grid, head):
    """Millimetres below the brain's surface, roughly; positive inside. An ellipsoid, flatter below, dented."""
    z, y, x = grid.points()
    high = np.where(z < 0, np.float32(0.86 * head[0]), np.float32(head[0]))  # z grows upwards; the base is flatter
    radius = np.sqrt((z / high) ** 2 + (y / head[1]) ** 2 + (x / head[2]) ** 2)
    narrow = 1 + 0.08 * np.clip(-y / head[1], -1, 1)  # the forehead is narrower than the back
    level = (1 - radius * narrow) * (sum(head) / 3) + 1.8 * grid.noise(rng, 22) + 0.9 * grid.noise(rng, 9)
    return level.astype(np.float32)


def _distances(grid, tumour):
    """Millimetres to each focus, list of [depth, height, width]."""
    z, y, x = grid.points()
    return [np.sqrt((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2) for a, b, c in tumour.centres]


def _anatomy(rng, grid, depth, head, tumour):
    """Fractions of white matter, fluid and bright vessel in every voxel, float32 [depth, height, width] each."""
    z, y, x = _pushed(rng, grid, tumour)
    fold = 7.5 * np.abs(grid.noise(rng, 11)) + 0.9 * np.clip(depth - 12, 0, None)  # about the distance to a sulcus
    cortex = np.minimum(depth, fold)  # sulci carry the surface inwards
    white = ramp(cortex - 5.2 - 0.8 * grid.noise(rng, 8), 2.5)
    for side in (-1, 1):  # the deep grey nuclei
        nucleus = 1 - np.sqrt(((z + 2) / 15) ** 2 + ((y + 2) / 22) ** 2 + ((x - side * 21) / 9) ** 2)
        white = white * (1 - 0.85 * ramp(nucleus * 12, 4))
    sulci = ramp(1.1 - fold, 1.4) * ramp(1.6 + grid.noise(rng, 25), 1.5)
    fissure = ramp(1.7 - np.abs(x), 2.0) * ramp(head[1] * 0.34 - depth, 8)
    size = rng.uniform(0.8, 1.35)
    bend = np.abs(x) - 5 * size - 0.0065 * y * y - 0.1 * np.clip(y, 0, None)  # two horns, apart in front and back
    horns = 1 - np.sqrt((bend / (5.5 * size)) ** 2 + ((y - 2) / (34 * size)) ** 2 + ((z - 8) / (13 * size)) ** 2)
    ventricles = ramp(horns * 6 + 0.7 * grid.noise(rng, 8), 2.5)
    rind = 0.8 * ramp(1.2 + 1.0 * grid.noise(rng, 10) - depth, 1.6)
    fluid = np.maximum.reduce([0.8 * sulci, 0.85 * fissure, ventricles, rind])
    sinus = ramp(3.5 - np.abs(x), 2) * ramp(y / head[1] - 0.45, 0.2) * ramp(5 - depth, 4)
    vessel = np.maximum(sinus, 0.6 * ramp(grid.noise(rng, 6) - 1.9, 0.5) * ramp(6 - depth, 4))
    return white.astype(np.float32), fluid.astype(np.float32), vessel.astype(np.float32)


def _pushed(rng, grid, tumour):
    """Coordinates at which to look up the anatomy: wobbling, and pushed away from the tumour (its mass effect)."""
    points = [axis + 2.5 * grid.noise(rng, 45) for axis in grid.points()]
    for centre, radius, distance in zip(tumour.centres, tumour.radii, _distances(grid, tumour), strict=True):
        push = rng.uniform(0.15, 0.35) * radius * np.exp(-0.5 * (distance / radius) ** 2) / (distance + 6)
        points = [axis - push * (axis - c) for axis, c in zip(points, centre, strict=True)]
    return points


def _grow(rng, grid, tumour, depth, white, fluid):
    """The tumour as the image shows it (fractions whole, core, rim) and as it is labelled (uint8)."""
    distances = _distances(grid, tumour)
    rough = grid.noise(rng, 20), grid.noise(rng, 9)
    fingers = 5 * (white - 0.6)  # oedema spreads along white matter
    whole = np.max([r - d for r, d in zip(tumour.radii, distances, strict=True)], axis=0)
    whole = whole + 3.5 * rough[0] + 1.6 * rough[1] + fingers
    core = np.max([tumour.core * r - d for r, d in zip(tumour.radii, distances, strict=True)], axis=0)
    core = np.minimum(core + 2.5 * grid.noise(rng, 15) + 1.2 * grid.noise(rng, 7), whole - 2)
    thickness = tumour.rim * (1 + 0.3 * grid.noise(rng, 14)) if tumour.rim else np.full(grid.shape, -99.0)
    tissue = ramp(depth - 1, 2) * (1 - fluid)
    soft = tumour.softness
    inside = ramp(core, 0.6 * soft)
    parts = {
        "whole": ramp(whole, soft) * tissue,
        "core": inside * tissue,
        "rim": inside * ramp(thickness - core, 0.5 * soft) * tissue,
    }
    wander = tumour.wander * (0.8 * grid.noise(rng, 12) + 0.6 * grid.noise(rng, 6))
    room = (depth > 1) & (fluid < 0.6)
    labels = np.where((whole + wander > 0) & room, OEDEMA, 0)
    labels[(core + 0.7 * wander > 0) & (labels > 0)] = NECROSIS
    labels[(labels == NECROSIS) & (core + 0.7 * wander < thickness)] = ENHANCING
    return {name: part.astype(np.float32) for name, part in parts.items()}, labels.astype(np.uint8)


def _spots(rng, grid, head, fluid):
    """Small bright lesions of old age, which nobody labels, and bright caps of the ventricles."""
    z, y, x = grid.points()
    spots = np.zeros(grid.shape, np.float32)
    for _ in range(rng.integers(1, 5)):
        direction = rng.normal(size=3)
        a, b, c = (direction / np.linalg.norm(direction) * head * rng.uniform(0.35, 0.7)).tolist()
        distance = np.sqrt((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2)
        level = rng.uniform(3.5, 6.5) - distance + 0.8 * grid.noise(rng, 6)
        spots = np.maximum(spots, rng.uniform(0.5, 0.95) * ramp(level, 4))
    return spots.astype(np.float32)


def _expose(rng, grid, fractions, channel, visibility, blur, noise):
    """One modality: tissues mixed, then bias field, blur, noise and the scanner's own scale; int16, at least 1."""
    tone = {name: values[channel] * rng.uniform(0.95, 1.05) for name, values in BRIGHTNESS.items()}

    def mix(image, name, fraction):
        return image + fraction * (tone[name] - image)

    image = tone["grey"] + fractions["white"] * (tone["white"] - tone["grey"])
    image = mix(image, "fluid", fractions["fluid"])
    image = mix(image, "spot", fractions["spot"])
    mottle = 1 + 0.10 * grid.noise(rng, 8) + 0.06 * grid.noise(rng, 4)
    tumour = mix(mix(tone["oedema"], "core", fractions["core"]), "rim", fractions["rim"]) * mottle
    image = image + visibility * fractions["whole"] * (tumour - image)
    image = mix(image, "vessel", fractions["vessel"])
    image = image * (1 + 0.04 * grid.noise(rng, 11)) * np.exp(rng.uniform(0.03, 0.10) * grid.noise(rng, 110))
    image = blurred(image.astype(np.float32), blur, axes=(1, 2))
    image = image + noise * (0.8 * rng.standard_normal(grid.shape, dtype=np.float32) + 0.6 * grid.noise(rng, 5))
    scale = rng.uniform(350, 1300)
    return np.clip(np.rint(image * scale), 1, np.iinfo(np.int16).max)
