"""Whether a volume is raw is judged by its content: how much is below zero, around what the brain lies, the background."""

import numpy as np
import pytest

from data_prep.base import notices
from data_prep.base.errors import UserError
from data_prep.readers import intensities


def brain(seed=0):
    """A raw volume, float64: 0 outside an ellipsoid, tissues of 200 to 900 inside."""
    z, y, x = np.mgrid[-1:1:20j, -1:1:40j, -1:1:40j]
    inside = x**2 + y**2 + z**2 < 0.8
    rng = np.random.default_rng(seed)
    return np.where(inside, rng.choice([250, 500, 700], inside.shape) + rng.normal(0, 40, inside.shape), 0)


def zscored(image, inside_only):
    chosen = image[image > 0] if inside_only else image
    scored = (image - chosen.mean()) / chosen.std()
    return np.where(image > 0, scored, 0) if inside_only else scored


def judged(array, **options):
    with notices.gathered() as noticed:
        intensities.require_raw(array, "a.nii", **options)
    return noticed.lines()


def test_raw_volumes_pass_without_a_word():
    """As floats and as integers."""
    for dtype in (np.float32, np.int16, np.uint16, np.float64):
        assert judged(brain().astype(dtype)) == []


NORMALISED = {
    "of the brain": zscored(brain(), True),
    "of the volume": zscored(brain(), False),
    "of the brain, as integers": np.rint(zscored(brain(), True)).astype(np.int16),
    "of the volume, as integers": np.rint(3 * zscored(brain(), False)).astype(np.int16),
    "times a thousand, as integers": np.rint(1000 * zscored(brain(), True)).astype(np.int16),
    "of the volume, int8": np.rint(20 * zscored(brain(), False)).astype(np.int8),
    "of the brain, as unsigned integers": np.rint(1000 * zscored(brain(), True)).astype(np.int16).view(np.uint16),
    "padded below zero": np.where(brain() > 0, brain() - 450, -1000).astype(np.int16),
    "to [-1, 1]": (brain() / brain().max() * 2 - 1).astype(np.float32),
}


@pytest.mark.parametrize("name", NORMALISED)
def test_normalised_volumes_are_refused_with_the_evidence(name):
    """However they are stored; --allow_negative takes them, and says so once."""
    expected = r"a\.nii: expected raw .*of the voxels below zero, down to -.*background .*deviation.*already normalised"
    with pytest.raises(UserError, match=expected):
        judged(NORMALISED[name])
    (line, *_) = judged(NORMALISED[name], allow_negative=True)
    assert "a.nii: taken as it is" in line and "below zero" in line


def test_a_few_negative_voxels_pass_with_a_word():
    """One of -0.02 (F13), and what a sharp interpolation leaves at the edge of the brain."""
    one = brain()
    one[10, 20, 20] = -0.02
    ringing = brain()
    at = np.random.default_rng(1).random(ringing.shape) < 0.03
    ringing[at & (ringing == 0)] = -12.5
    for image in (one.astype(np.float32), ringing.astype(np.float32), np.rint(ringing).astype(np.int16)):
        (line,) = judged(image)
        assert "negative voxels are kept" in line and "down to -" in line


def test_what_is_odd_is_said():
    """A background above zero, as of shifted scores, and values too few for intensities, as of rounded ones."""
    (line,) = judged((brain() + 7).astype(np.int16))
    assert "the background is 7 and not 0" in line
    shifted = np.rint(zscored(brain(), True) + 3)
    assert any("different values only" in line for line in judged(shifted.astype(np.uint8)))
