"""Photographs and their masks: decoded with suspicion, resized as the reference does.

Pixels are taken as they are stored, as the reference does. A photograph with an EXIF orientation is turned where its mask has
the turned size; where the mask's size does not tell, it is refused.
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from data_prep import triangle
from data_prep.base import contents, notices, regular
from data_prep.base.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

MAX_PIXELS = 80_000_000  # ISIC's largest have 30 million; Pillow itself warns from 89 million on
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
FORMATS = ("JPEG", "PNG", "BMP")  # Pillow's, of a photograph
ANY = (*FORMATS, "TIFF")  # of one's own data too
AGAIN = "it is truncated, corrupt or no image: download or copy it again"
BINARY = "take the official PNG or BMP, or threshold it yourself"


def read_photograph(path: pathlib.Path | str, formats: tuple[str, ...] = FORMATS) -> np.ndarray:
    """uint8 [height, width, 3] in RGB; alpha is dropped, grey repeated. Raises `UserError` for anything else."""
    image = _decode(path, formats=formats)
    is_deep = image.format == "PNG" and _is_deep_png(path)
    if image.mode not in ("RGB", "RGBA", "L", "LA", "P") or is_deep:
        deep = "16 bits a channel" if is_deep else f"Pillow mode {image.mode}"
        raise UserError(path, expected="a photograph of 8 bits a channel", found=deep, do="convert it to 8-bit RGB")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))  # without a copy of what is right already


def read_mask(path: pathlib.Path | str) -> np.ndarray:
    """uint8 {0, 1} [height, width] of a mask that holds 0 and at most one other value, wherever in the file it stands.

    That may be equal channels, the transparency of an image of one colour, or a palette's numbers. Raises `UserError` for
    any other mask: grey levels mean interpolation, JPEG noise or several classes; channels that differ mean colours.
    """
    values = _carrier(_decode(path, formats=FORMATS), path)
    found, counts = _found(values)
    if len(found) > 2 or (len(found) == 2 and found[0] != 0):
        listed = ", ".join(str(int(value)) for value in found[:6]) + (", …" if len(found) > 6 else "")
        raise UserError(
            path,
            expected="a binary mask of 0 and one other value",
            found=f"a non-binary mask of {len(found)} values: {listed}",
            do=BINARY,
        )
    notices.values("masks", {int(value): int(count) for value, count in zip(found, counts, strict=True)})
    return (values != 0).astype(np.uint8)


def _found(values):
    """(the values that an array holds, in order; how many elements have each)."""
    if values.dtype not in (np.uint8, np.bool_):
        return np.unique(values, return_counts=True)
    if values.dtype == np.bool_:
        values = (values != 0).view(np.uint8)  # Pillow's own have 255 for True, of which NumPy makes what it likes
    highest = values.max()
    marked = np.count_nonzero(values == highest)
    if highest and marked == np.count_nonzero(values) < values.size:  # a mask, as nearly all
        return np.array([0, highest], np.uint8), np.array([values.size - marked, marked])
    counts = np.array(Image.fromarray(values).histogram())  # without sorting, as numpy.unique would
    found = np.flatnonzero(counts)
    return found, counts[found]


def read_grey(path: pathlib.Path | str) -> np.ndarray:
    """uint8 [height, width] of a grey image file, in whichever mode it is stored. Raises `UserError` for colours."""
    pixels = read_photograph(path, ANY)
    if (pixels != pixels[..., :1]).any():
        do = "give one file a channel, or one colour file where dataset.json names three channels"
        raise UserError(path, expected="a grey image, one channel of several files", found="colours", do=do)
    return pixels[..., 0]


def read_labels(path: pathlib.Path | str) -> np.ndarray:
    """Whole numbers [height, width] of a mask of any number of classes: grey values, or the numbers of a palette of colours.

    Raises `UserError` for colours, which don't say what they stand for, and for a JPEG, whose values are not those that
    were drawn.
    """
    image = _decode(path)
    if image.format in ("JPEG", "MPO"):
        do = "draw it again as a PNG: JPEG changes the numbers at every border"
        raise UserError(path, expected="a mask as PNG, BMP or TIFF", found="a JPEG", do=do)
    if image.mode == "F":
        return np.asarray(image)
    if image.mode == "P" and _has_colours(image):
        return np.asarray(image)
    if image.mode in ("RGB", "RGBA") and _has_colours(image):
        do = "write it as grey, one number for each class"
        raise UserError(path, expected="a mask of class numbers", found="colours", do=do)
    return np.asarray(_carrier(image, path))


def _has_colours(image):
    pixels = np.asarray(image.convert("RGB"))
    return bool((pixels != pixels[..., :1]).any())


def _carrier(image, path):
    """The values [height, width] that carry a mask: a plane of the image, its transparency, or its palette's numbers."""
    if image.mode.startswith("I") or image.mode == "1" or (image.mode == "L" and not image.has_transparency_data):
        return np.asarray(image)
    if _is_deep_png(path):  # Pillow keeps the high byte only, which may be 0 where the mask is not
        found = f"16 bits in each channel of {image.mode}"
        raise UserError(path, expected="a mask of 8 bits a channel, or grey of 16", found=found, do=BINARY)
    rgba = np.asarray(image.convert("RGBA"))
    colours, alpha = rgba[..., :3], rgba[..., 3]
    numbers = np.asarray(image) if image.mode == "P" else None
    if (colours != colours[..., :1]).any():
        return _of_colours(colours, numbers, path)
    grey = colours[..., 0]
    if not image.has_transparency_data or not _varies(alpha):
        if numbers is not None and not _varies(grey) and _varies(numbers):
            return numbers  # a palette that shows all in one colour
        if image.has_transparency_data and grey.any() and not alpha.any():
            raise UserError(path, expected="a mask", found="a wholly transparent image that is not black", do=BINARY)
        return grey
    if not _varies(grey):
        return alpha
    if ((grey != 0) & (alpha == 0)).any():
        found = "one in its grey values and another in its transparency"
        raise UserError(path, expected="one mask", found=found, do="keep the one that is meant")
    return grey


def _of_colours(colours, numbers, path):
    """A palette of black and one colour is a mask, as drawing programs store it; other colours are none."""
    black = ~colours.any(axis=-1)
    if numbers is not None and black.any() and len(np.unique(colours.reshape(-1, 3), axis=0)) == 2:
        return np.where(black, 0, np.maximum(numbers, 1))
    raise UserError(path, expected="a binary mask", found="a non-binary mask in colours", do=BINARY)


def _varies(values):
    return values.min() != values.max()


def aligned(photograph: np.ndarray, mask: tuple[int, ...], path: object, mask_path: object) -> np.ndarray:
    """A photograph [height, width, 3] on its mask, of the shape `mask`: as stored, or turned as its EXIF orientation says.

    The mask's size decides. Raises `UserError` naming `path` where both ways have it, and naming `mask_path` for a mask that
    has an orientation of its own; a size that is neither's is left to the caller.
    """
    orientation, of_mask = _orientation(path), _orientation(mask_path)
    if orientation == of_mask:  # also where neither has one: both are taken as stored
        return photograph
    if of_mask != 1:
        found = f"EXIF orientation {of_mask}, and {orientation} of its photograph"
        do = "turn the mask's pixels and remove the entry"
        raise UserError(mask_path, expected="the mask on its photograph's pixels", found=found, do=do)
    turned = _TURNS[orientation](photograph)
    if turned.shape == photograph.shape and mask == photograph.shape[:2]:
        found = f"EXIF orientation {orientation}, and a mask whose size fits the pixels as stored and as turned"
        do = "turn its pixels if the mask was drawn on the upright photograph, and remove the entry in any case"
        raise UserError(path, expected="a photograph that its mask lies on", found=found, do=do)
    if mask != turned.shape[:2]:
        say_if_turned(path)
        return photograph
    line = f"{path}: turned as its EXIF orientation {orientation} says, since its mask has that size"
    notices.once("photographs that are turned", line)
    return turned


def say_if_turned(path: object) -> None:
    """Says once that a photograph has an EXIF orientation and is read as it is stored."""
    if (orientation := _orientation(path)) != 1:
        line = f"{path}: its EXIF orientation {orientation} is left aside: pixels are read as they are stored"
        notices.once("photographs as stored", line)


_TURNING = (b"Exif", b"eXIf", b"exif", b"adobe")  # JPEG's and PNG's blocks, old PNG texts, XMP's names in both
_TURNS = {  # by EXIF orientation: what brings the stored pixels upright
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}


def _orientation(path):
    """The EXIF orientation of an image file, 1 to 8; 1 where it has none or another number."""
    if not _may_be_turned(path):
        return 1
    found = _decode(path, pixels=False).getexif().get(0x0112, 1)
    return found if found in _TURNS else 1


def _may_be_turned(path):
    """Whether a file has a block that could hold an orientation; Pillow decodes all of a PNG to look behind its pixels."""
    content = contents.read(path)
    simple = content.startswith((b"\xff\xd8", b"\x89PNG", b"BM"))  # TIFF has it among its own entries
    return not simple or any(mark in content for mark in _TURNING)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Antialiased bilinear (triangle filter) resize of a uint8 photograph [rows, columns, channels], to uint8."""
    if image.shape[:2] == (height, width):
        return image
    return np.rint(triangle.resized(image, height, width)).astype(
        np.uint8
    )  # weights sum to 1: the range stays [0, 255]


def resize_in_graph(image: np.ndarray | tf.Tensor, height: int, width: int) -> tf.Tensor:
    """The same of uint8 or float [..., rows, columns, channels] by TensorFlow's operations, as an exported graph does it."""
    import tensorflow as tf  # seconds to import, and preparing needs none of it

    resized = tf.image.resize(image, (height, width), method="bilinear", antialias=True)
    return tf.cast(tf.round(resized), tf.uint8)


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest-neighbour resize of a uint8 [rows, columns] mask by Pillow, as the reference does; of that size it is itself."""
    if mask.shape == (height, width):
        return mask
    return np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def size(path: pathlib.Path | str) -> tuple[int, int]:
    """(height, width) of an image file as it is stored, its pixels unread; raises `UserError` for what is no image."""
    image = _decode(path, pixels=False, formats=ANY)
    return image.height, image.width


def _decode(path, pixels=True, formats=ANY):
    """A Pillow image, loaded if its `pixels` are wanted, sizes checked before anything is decoded."""
    try:
        file = io.BytesIO(contents.read(path)) if pixels else _checked(path)
        with _silent(), Image.open(file, formats=formats) as image:
            if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:  # a camera's JPEG may hold a preview too
                do = "write each as a file of its own"
                raise UserError(path, expected="one image in a file", found=f"{image.n_frames} pages", do=do)
            if image.width * image.height > MAX_PIXELS:
                raise UserError(path, expected=f"at most {MAX_PIXELS} pixels", found=f"{image.width}x{image.height}")
            if pixels:
                image.load()
                if image.mode in ("P", "PA") and image.palette is None:
                    raise ValueError("numbers of a palette, which it lacks")
            else:
                image.getexif()  # while the file is open
            return image
    except Image.DecompressionBombError:
        raise UserError(path, expected=f"at most {MAX_PIXELS} pixels", found="a header that asks for more") from None
    except UserError:
        raise
    except (
        Exception
    ) as error:  # Pillow raises almost anything for broken files: OSError, SyntaxError, TypeError, struct.error
        if pixels and isinstance(error, MemoryError):  # of sizes that were looked at
            raise
        found = str(error) or type(error).__name__
        raise UserError(path, expected=_whole(formats), found=found[:200], do=AGAIN) from None


@contextlib.contextmanager
def _silent():
    """Pillow warns of tags that it skips, on the user's terminal; a file that can't be read is one line, and ours."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _checked(path):
    regular.require(path)
    return path


def _whole(formats):
    return f"a whole {', '.join(formats[:-1])} or {formats[-1]} image"


def _is_deep_png(path):
    """True for 16 bits a channel, which Pillow would cut to 8 without a word."""
    head = contents.read(path)[:25]
    return head.startswith(b"\x89PNG") and head[24] == 16
