"""A small picture of a subject's worst slice: the image, the segmentation's outline, and where the map is unsure."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tfunc.kinds import KINDS
from tfunc.reporting import class_layers, pictures
from tfunc.scoring.sources import Maps
from tfunc.scoring.truth import AnyTruth

SIDE = 112  # pixels of the longer side
SEGMENTATION = np.array([0x56, 0xB4, 0xE9], np.float32) / 255
UNSURE = np.array([0xFF, 0x5A, 0x00], np.float32) / 255


def data_url(maps: Maps, truth: AnyTruth, subject: str, position: int) -> str:
    """The picture as a data URL. position: of the slice, from 0. Raises `UserError` where a file can't be read."""
    uncertainty, inside = _maps(maps, truth, subject, position)
    if (pictured := truth.subject(subject)) is not None:
        found = pictures.shown_channels(pictured.image[position], truth.task)
        grey = found.astype(np.float32) / 255 if found.ndim == 3 else pictures.windowed(found, truth.task)
    else:  # there is no image beside anyone's maps
        grey = np.full(uncertainty.shape, 0.12, np.float32)
    return encoded(drawn(grey, uncertainty, inside))


def _maps(maps, truth, subject, position):
    """(uncertainty in [0, 1], bool of the segmentation) of a slice, [height, width]."""
    read = truth.read(subject)
    if read.classes is not None:
        layers = class_layers.read(maps, subject, read, read.classes)
        view = layers.views[0]
        return layers.uncertainty(view, position), layers.voxels.prediction[position] != 0
    score, prediction = maps.read(subject, read)
    kind = KINDS[maps.kind]
    score = read.evened(score)
    limits = kind.limits(score, maps.sigma_range)
    return kind.uncertainty_map(score[position], limits), prediction[position] != 0


def drawn(image: NDArray, uncertainty: NDArray, inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """[height, width, 3]: a grey or coloured image in [0, 1], what is unsure in orange, the segmentation's outline in blue."""
    colours = np.repeat(image[..., np.newaxis], 3, axis=2) if image.ndim == 2 else image
    share = np.clip(uncertainty, 0, 1).astype(np.float32)[..., np.newaxis] * 0.75
    colours = (1 - share) * colours + share * UNSURE
    padded = np.pad(inside, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    colours[inside & ~core] = SEGMENTATION
    return np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8)


def encoded(picture: NDArray[np.uint8]) -> str:
    """A picture as a data URL, at most `SIDE` pixels a side."""
    image = Image.fromarray(picture)
    scale = SIDE / max(image.size)
    if scale < 1:
        image = image.resize([max(round(side * scale), 1) for side in image.size], Image.Resampling.BILINEAR)
    file = io.BytesIO()
    image.quantize(64).save(file, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
