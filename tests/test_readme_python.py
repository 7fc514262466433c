"""The Python of the README runs as it stands."""

import re

import numpy as np
from conftest import ROOT


def test_readme_python():
    """Its block, with arrays for its names: no line fails, and each gives what its comment says."""
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    rng = np.random.default_rng(0)
    probability = rng.random((4, 12, 12))
    label = rng.random(probability.shape) < probability
    names = {
        "probability": probability,
        "label": label,
        "prediction": probability > 0.5,
        "uncertainty": probability / 2,
    }
    names |= {"scores": [0.1, 0.4, 0.2], "risks": [0.2, 0.5, 0.1]}
    lines = [line for line in block.splitlines() if line.strip()]
    exec("\n".join(line for line in lines if "import" in line), names)
    found = [eval(line, names) for line in lines if "import" not in line]
    assert len(found) == 4 and set(found[0]) >= {"mean_inside", "top"} and found[1]["aurc"] > 0
    assert found[2] > 0 and 0.9 < float(found[3]) < 1.1
