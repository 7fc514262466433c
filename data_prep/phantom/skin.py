"""A made-up dermoscopic photograph of a skin lesion with its mask.

Pigment darkens the skin by absorption, blue more than red, which is what makes lesions brown. The lesion's border is
a closed curve about its centre, so that the mask is one piece; the pigment fades across it, and the mask wanders about
it as an annotator's hand does. Hairs, gel bubbles, vignettes, rulers and stickers disturb, as in the real archive.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from data_prep.phantom.fields import blurred, ramp, smooth_noise

# sRGB of untouched skin under the dermatoscope, 0 to 1
TONES = np.array(
    [
        [0.93, 0.80, 0.75],
        [0.90, 0.74, 0.66],
        [0.86, 0.68, 0.56],
        [0.76, 0.57, 0.44],
        [0.62, 0.44, 0.33],
        [0.82, 0.78, 0.80],
    ],
    np.float32,
)
# Absorption of red, green and blue by unit density
BROWN, BLACK, RED = ((0.50, 0.95, 1.30), (1.10, 1.35, 1.40), (0.16, 0.85, 0.75))


def skin(rng: np.random.Generator, shape: tuple[int, ...], hard: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Draws one photograph.

    Args:
        rng: a `numpy.random.Generator`; everything depends on its state and the arguments only.
        shape: (height, width) in pixels.
        hard: a faint lesion with wide borders.

    Returns:
        (photograph uint8 [height, width, 3] in RGB, mask bool [height, width]); the mask is never empty.
    """
    side = min(shape)
    photo = _skin(rng, shape, side)
    radius, level, mask = _outline(rng, shape, side, hard)
    density, absorption = _pigment(rng, shape, radius, level, hard)
    photo = photo * np.exp(-density[..., None] * absorption)
    photo = _veil(rng, photo, shape, radius, level)
    if rng.random() < 0.2:
        photo = _ruler(rng, photo, shape, side)
    if rng.random() < 0.6:
        photo = _hairs(rng, photo, shape, side)
    if rng.random() < 0.35:
        photo = _bubbles(rng, photo, shape, side)
    if rng.random() < 0.12:
        photo = _sticker(rng, photo, shape, side)
    photo = _light(rng, photo, shape)
    photo = blurred(photo.astype(np.float32), rng.uniform(0.3, 0.8), axes=(0, 1))
    grain = rng.uniform(0.006, 0.02) * rng.standard_normal((*shape, 3), dtype=np.float32)
    return np.rint(np.clip(photo + grain, 0, 1) * 255).astype(np.uint8), mask


def _centred(shape):
    """Pixels from the middle of the photograph: y [height, 1] and x [1, width], float32."""
    return np.meshgrid(*(np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in shape), indexing="ij", sparse=True)


def _skin(rng, shape, side):
    """Skin without lesion: tone, blotches of blood, furrows; float32 [height, width, 3]."""
    first, second = rng.choice(len(TONES), 2, replace=False, p=(0.24, 0.24, 0.2, 0.14, 0.08, 0.1))
    part = rng.uniform(0, 0.4)
    tone = (1 - part) * TONES[first] + part * TONES[second]
    blood = 0.05 * smooth_noise(rng, shape, side / 3) + 0.04 * smooth_noise(rng, shape, side / 12)
    pigment = 0.03 * smooth_noise(rng, shape, side / 5) + 0.025 * smooth_noise(rng, shape, max(1.5, side / 40))
    stretch = rng.permutation([1.0, 2.6]) * max(1.0, side / 96)  # furrows run one way
    pigment = pigment + rng.uniform(0.01, 0.035) * smooth_noise(rng, shape, stretch)
    freckles = rng.uniform(0, 0.25) * ramp(smooth_noise(rng, shape, max(2.0, side / 22)) - 2.2, 1.0)
    absorbed = blood[..., None] * np.float32(RED) + (pigment + freckles)[..., None] * np.float32(BROWN)
    return tone * np.exp(-absorbed)


def _outline(rng, shape, side, hard):
    """The lesion's radius in pixels, its level (pixels inside the image's border, positive inside) and its mask."""
    height, width = shape
    y, x = _centred(shape)
    y = y - rng.uniform(-0.12, 0.12) * height
    x = x - rng.uniform(-0.14, 0.14) * width
    radius = side * (0.15 + 0.25 * rng.beta(1.6, 1.6))
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.25)
    along = (math.cos(turn) * x + math.sin(turn) * y) / stretch
    across = (math.cos(turn) * y - math.sin(turn) * x) * stretch
    distance, angle = np.hypot(along, across), np.arctan2(across, along)
    border = radius * (1 + _waves(rng, angle, range(2, 6), rng.uniform(0.06, 0.16)))
    border = border + radius * _waves(rng, angle, range(6, 18), rng.uniform(0.01, 0.04))
    level = border - distance
    wander = radius * (0.02 + _waves(rng, angle, range(2, 14), rng.uniform(0.03, 0.05) * (1.5 if hard else 1.0)))
    return radius, level.astype(np.float32), level + wander > 0


def _waves(rng, angle, orders, size):
    """A periodic function of the angle with standard deviation `size`, smoother orders stronger."""
    weights = np.array([1 / order for order in orders])
    weights = weights / np.sqrt(np.sum(weights**2) / 2)
    phases = rng.uniform(0, 2 * np.pi, len(weights)).tolist()
    waves = [w * np.cos(order * angle + p) for order, w, p in zip(orders, weights.tolist(), phases, strict=True)]
    return size * np.sum(waves, axis=0)


def _pigment(rng, shape, radius, level, hard):
    """How much pigment [height, width] and what it absorbs [height, width, 3]."""
    soft = radius * rng.uniform(0.10, 0.35) * (1.4 if hard else 1.0)
    ragged = level + radius * (0.04 * smooth_noise(rng, shape, max(2, radius / 4)))
    inside = ramp(ragged, soft)
    clouds = 0.30 * smooth_noise(rng, shape, radius / 1.6) + 0.22 * smooth_noise(rng, shape, max(1.5, radius / 5))
    centre = rng.uniform(-0.3, 0.6) * np.clip(level / radius, 0, 1)
    pattern = 1 + clouds + centre + rng.uniform(0.08, 0.3) * _texture(rng, shape, radius)
    strength = rng.uniform(0.15, 0.27) if hard else rng.uniform(0.45, 1.15)
    density = strength * inside * np.clip(pattern, 0.35, 2.2)
    dark = ramp(smooth_noise(rng, shape, radius / 1.5) - rng.uniform(0.3, 1.8), 1.4)[..., None]
    red = ramp(smooth_noise(rng, shape, radius / 1.5) - rng.uniform(0.8, 2.4), 1.6)[..., None]
    absorption = np.float32(BROWN) + dark * np.subtract(BLACK, BROWN)
    return density, absorption + 0.75 * red * (np.float32(RED) - absorption)


def _texture(rng, shape, radius):
    """A pigment network (a warped honeycomb) or globules, about -1 to 1."""
    mesh = max(4.0, radius * rng.uniform(0.14, 0.2))
    if rng.random() < 0.4:
        return ramp(smooth_noise(rng, shape, mesh * 0.6) - 0.9, 0.8) * 2 - 0.4
    y, x = _centred(shape)
    y, x = (
        a + mesh * (0.45 * smooth_noise(rng, shape, mesh * 2.5) + 0.16 * smooth_noise(rng, shape, mesh)) for a in (y, x)
    )
    first = rng.uniform(0, math.pi)
    turns = [first + k * math.pi / 3 for k in range(3)]
    comb = sum(np.cos(2 * np.pi / mesh * (math.cos(turn) * x + math.sin(turn) * y)) for turn in turns)
    fade = ramp(smooth_noise(rng, shape, radius / 1.5) + 0.5, 2.0)
    return fade * (0.6 - 1.6 * ramp(comb - 0.2, 2.5))


def _veil(rng, photo, shape, radius, level):
    """A whitish-blue veil or a scar-like pale patch over a part of some lesions."""
    if rng.random() > 0.3:
        return photo
    patch = ramp(smooth_noise(rng, shape, radius / 1.3) - 0.6, 1.2) * ramp(level - 0.2 * radius, 0.3 * radius)
    colour = (0.62, 0.66, 0.76) if rng.random() < 0.6 else (0.90, 0.80, 0.76)
    return photo + (rng.uniform(0.25, 0.5) * patch)[..., None] * (np.float32(colour) - photo)


def _painted(shape, draw_on):
    """What `draw_on(draw, zoom)` paints in white on black, as coverage 0 to 1 [height, width, 1], antialiased."""
    zoom = 4
    canvas = Image.new("L", (shape[1] * zoom, shape[0] * zoom))
    draw_on(ImageDraw.Draw(canvas), zoom)
    pixels = np.asarray(canvas, np.float32).reshape(shape[0], zoom, shape[1], zoom)
    return pixels.mean((1, 3))[..., None] / 255


def _hairs(rng, photo, shape, side):
    """Dark or pale curved hairs, most of them combed one way."""
    height, width = shape
    combed, count = rng.uniform(0, np.pi), rng.integers(2, 18)
    t = np.linspace(0, 1, 24)[:, None]
    curves = []
    for _ in range(count):
        start = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        angle, length = combed + rng.normal(0, 0.45), side * rng.uniform(0.35, 1.1)
        reach = length * np.array([np.cos(angle), np.sin(angle)])
        bow = np.array([-reach[1], reach[0]]) * rng.normal(0, 0.18)
        curves.append(start - reach / 2 + t * reach + 4 * t * (1 - t) * bow)
    thick = side / 96 * rng.uniform(0.35, 0.85, count)

    def draw_on(draw, zoom):
        for curve, width_ in zip(curves, thick, strict=True):
            draw.line([tuple(point) for point in (curve * zoom).tolist()], fill=255, width=max(1, round(width_ * zoom)))

    colour = np.float32(rng.choice([(0.16, 0.11, 0.09), (0.30, 0.20, 0.14), (0.80, 0.68, 0.50)], p=(0.55, 0.35, 0.1)))
    return photo + rng.uniform(0.55, 0.9) * _painted(shape, draw_on) * (colour - photo)


def _bubbles(rng, photo, shape, side):
    """Air bubbles in the gel (pale rings with a highlight) and small specular spots."""
    y, x = _centred(shape)
    for _ in range(rng.integers(2, 9)):
        cy, cx = rng.uniform(-0.5, 0.5) * shape[0], rng.uniform(-0.5, 0.5) * shape[1]
        radius = side * rng.uniform(0.012, 0.05)
        distance = np.hypot(y - cy, x - cx)
        ring = 0.30 * ramp(1.2 - np.abs(distance - radius), 1.6)
        glint = 0.8 * ramp(0.28 * radius - np.hypot(y - cy + 0.4 * radius, x - cx + 0.4 * radius), 1.5)
        photo = photo + np.maximum(ring, glint)[..., None] * (1.0 - photo)
    sparkle = ramp(smooth_noise(rng, shape, max(1.0, side / 90)) - rng.uniform(2.6, 3.2), 0.4)
    return photo + 0.7 * sparkle[..., None] * (1.0 - photo)


def _ruler(rng, photo, shape, side):
    """A millimetre scale along one edge."""
    height, width = shape
    base, step = height * rng.uniform(0.86, 0.94), side / rng.uniform(14, 22)
    first, count, slope = width * rng.uniform(0.05, 0.3), rng.integers(8, 14), rng.uniform(-0.25, 0.25)

    def draw_on(draw, zoom):
        thick = max(2, round(side / 160 * zoom))
        for tick in range(count + 1):
            x, y = first + tick * step, base - slope * tick * step * 0.3
            long = 0.05 if tick % 5 == 0 else 0.028
            draw.line([x * zoom, y * zoom, x * zoom, (y - long * side) * zoom], fill=255, width=thick)
        end = first + count * step
        line = [first, base, end, base - slope * count * step * 0.3]
        draw.line([v * zoom for v in line], fill=255, width=thick)

    return photo + 0.75 * _painted(shape, draw_on) * (np.float32((0.12, 0.11, 0.12)) - photo)


def _sticker(rng, photo, shape, side):
    """The round coloured sticker that many photographs of the archive have at the edge."""
    y, x = _centred(shape)
    radius = side * rng.uniform(0.25, 0.4)
    cx = float(rng.choice([-1, 1])) * (shape[1] / 2 + radius * rng.uniform(0.3, 0.65))
    cy = rng.uniform(-0.4, 0.4) * shape[0]
    cover = ramp(radius - np.hypot(y - cy, x - cx), 2.0)[..., None]
    colour = np.float32(rng.choice([(0.10, 0.50, 0.80), (0.25, 0.62, 0.30), (0.92, 0.80, 0.25)]))
    return photo + cover * (colour * (1 + 0.03 * smooth_noise(rng, shape, 3)[..., None]) - photo)


def _light(rng, photo, shape):
    """Uneven light: a gradient, darker corners, and in some the black tube of the dermatoscope."""
    y, x = (axis / (n / 2) for axis, n in zip(_centred(shape), shape, strict=True))
    slope = rng.uniform(-0.08, 0.08, 2).tolist()
    corner = np.hypot(y, x) / math.sqrt(2)
    light = (1 + slope[0] * y + slope[1] * x) * (1 - rng.uniform(0.0, 0.4) * ramp(corner - 0.75, 0.7))
    if rng.random() < 0.15:
        light = light * (1 - ramp(corner - rng.uniform(0.78, 0.9), 0.06))
    return photo * light[..., None] * rng.uniform(0.9, 1.06)
