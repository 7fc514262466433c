"""What a prediction of full size needs: measured in processes of its own, which takes a minute."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.long


def test_memory_does_not_grow_with_samples():
    """A head of 155x240x240 in four classes with 20 samples takes less than 1.3 times what one sample takes."""
    found = {}
    for samples in (1, 20):
        ended = subprocess.run(
            [sys.executable, "-c", MEMORY, str(samples)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        found[samples] = json.loads(ended.stdout.splitlines()[-1])
    assert found[20] < 1.3 * found[1], found


MEMORY = """
import json, resource, sys
import numpy as np
from data_prep.base import processes
processes.set_environment()
from data_prep.subject import Subject
from tfunc.maps import sampled
from tfunc.maps.options import Options
from tfunc.maps.predictor import Predictor
from tfunc.nets import unet
options = Options(samples=int(sys.argv[1]), batch_size=8)
model = unet.unet(4, start_filters=2, depth=1, classes=4, seed=1)
made = Predictor(lambda: sampled.MonteCarlo([model], options), 4, 4, options)
image = np.zeros((155, 240, 240, 4), np.int16)
image[:, 60:180, 60:180] = np.random.default_rng(0).integers(1, 500, (155, 120, 120, 4))
subject = Subject("a", image, np.full(4, 20, np.float32), np.full(4, 90, np.float32))
for _, maps in made.subjects([subject]):
    assert maps["probability"].shape == (155, 240, 240, 4)
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""
