"""Photographs and their masks: decoded with suspicion, resized as the reference does.

EXIF orientation is ignored, as the reference does: masks are drawn on the pixels as stored.
"""

from __future__ import annotations

import pathlib
import struct
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from data_prep.base.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

MAX_PIXELS = 80_000_000  # ISIC's largest have 30 million; Pillow itself warns from 89 million on
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
AGAIN = "it is truncated, corrupt or no image: download or copy it again"
BINARY = "take the official PNG or BMP, or threshold it yourself"


def read_photograph(path: pathlib.Path | str) -> np.ndarray:
    """uint8 [height, width, 3] in RGB; alpha is dropped, grey repeated. Raises `UserError` for anything else."""
    image = _decode(path)
    if image.mode not in ("RGB", "RGBA", "L", "LA", "P") or _is_deep_png(path):
        deep = "16 bits a channel" if _is_deep_png(path) else f"Pillow mode {image.mode}"
        raise UserError(path, expected="a photograph of 8 bits a channel", found=deep, do="convert it to 8-bit RGB")
    return np.asarray(image.convert("RGB"))


def read_mask(path: pathlib.Path | str) -> np.ndarray:
    """uint8 {0, 1} [height, width] of a mask that holds 0 and at most one other value, in any number of equal channels.

    Raises `UserError` for any other mask: grey levels mean interpolation, JPEG noise or several classes.
    """
    image = _decode(path)
    if image.mode not in ("1", "L", "I", "I;16"):
        image = image.convert("RGB")
    values = np.asarray(image)
    if values.ndim == 3:
        if (values != values[..., :1]).any():
            raise UserError(path, expected="a binary mask", found="a non-binary mask in colours", do=BINARY)
        values = values[..., 0]
    found = np.unique(values)
    if len(found) > 2 or (len(found) == 2 and found[0] != 0):
        listed = ", ".join(str(int(value)) for value in found[:6]) + (", …" if len(found) > 6 else "")
        raise UserError(
            path,
            expected="a binary mask of 0 and one other value",
            found=f"a non-binary mask of {len(found)} values: {listed}",
            do=BINARY,
        )
    return (values != 0).astype(np.uint8)


def resize(image: np.ndarray | tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Antialiased bilinear (triangle filter) resize, uint8 or float [..., rows, columns, channels] to uint8 tensor.

    TensorFlow operations only, so that an exported graph can do the very same.
    """
    import tensorflow as tf  # seconds to import, and finding files needs none of it

    resized = tf.image.resize(image, (height, width), method="bilinear", antialias=True)
    return tf.cast(tf.round(resized), tf.uint8)  # weights sum to 1, so the range stays [0, 255]


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest-neighbour resize of a uint8 [rows, columns] mask by Pillow, as the reference does."""
    return np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def _decode(path):
    """A loaded Pillow image, sizes checked before anything is decoded."""
    try:
        with Image.open(path, formats=("JPEG", "PNG", "BMP")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(path, expected=f"at most {MAX_PIXELS} pixels", found=f"{image.width}x{image.height}")
            image.load()
            return image
    except Image.DecompressionBombError:
        raise UserError(path, expected=f"at most {MAX_PIXELS} pixels", found="a header that asks for more") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:  # what Pillow raises for broken files
        raise UserError(path, expected="a whole JPEG, PNG or BMP image", found=str(error), do=AGAIN) from None


def _is_deep_png(path):
    """True for 16 bits a channel, which Pillow would cut to 8 without a word."""
    with open(path, "rb") as file:
        head = file.read(25)
    return head.startswith(b"\x89PNG") and head[24] == 16
