"""Maps as files: which they are, and the very pixels that TensorFlow's PNG encoder would write."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data_prep import map_files
from data_prep.readers import nifti


def maps(shape):
    generator = np.random.default_rng(0)
    probability = generator.uniform(-0.01, 1.01, shape).astype(np.float32)
    probability.flat[:3] = 0.5 / 65535, 1.5 / 65535, 2.5 / 65535  # halves go to the even number
    return {"prediction": (probability > 0.5).astype(np.uint8), "probability": probability, "uncertainty": probability}


def test_a_photographs_files(tmp_path):
    """Three NIfTI files, and three PNG files where they are asked for; complete only with all of them."""
    small, large = maps((1, 6, 8)), maps((12, 16))
    map_files.write(tmp_path, "p", small, None)
    assert map_files.is_written(tmp_path, "p") and not map_files.is_written(tmp_path, "p", full_size=True)
    map_files.write(tmp_path, "p", small, None, large)
    assert map_files.is_written(tmp_path, "p", full_size=True) and len(list(tmp_path.iterdir())) == 6
    for name, dtype in map_files.MAPS.items():
        found, _ = nifti.read_map(map_files.path(tmp_path, "p", name))
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, small[name][0])
    map_files.path(tmp_path, "p", "probability").unlink()
    assert not map_files.is_written(tmp_path, "p")


@pytest.mark.parametrize("name", ["prediction", "probability"])
def test_pictures_are_those_of_tensorflow(tmp_path, name):
    """Pixel for pixel and of the same depth as `tf.io.encode_png` of the scaled map: predict's form of old."""
    values = maps((40, 30))[name]
    map_files.write_picture(tmp_path / "x.png", values)
    if name == "prediction":
        png = tf.io.encode_png(255 * tf.constant(values)[..., tf.newaxis])
    else:
        clipped = tf.clip_by_value(tf.constant(values), 0.0, 1.0)[..., tf.newaxis]
        png = tf.io.encode_png(tf.cast(tf.round(clipped * 65535.0), tf.uint16))
    (tmp_path / "theirs.png").write_bytes(png.numpy())
    ours, theirs = Image.open(tmp_path / "x.png"), Image.open(tmp_path / "theirs.png")
    assert ours.mode == theirs.mode
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
