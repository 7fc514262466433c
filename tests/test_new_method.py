"""The how-to's example works as written: docs/howto/new_method.md."""

import re
import shutil
import sys
import types

import nibabel
import numpy as np
import pytest

from tfunc import methods
from tfunc.maps import predict as prediction
from tfunc.methods import Method


@pytest.fixture
def tempered(monkeypatch):
    """The example's module and its entry in the table, taken from the page."""
    from conftest import ROOT

    code, entry = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "howto" / "new_method.md").read_text(), re.DOTALL)
    module = types.ModuleType("my_methods")
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, "my_methods", module)
    method = eval(entry, {"Method": Method})
    monkeypatch.setitem(methods.METHODS, method.name, method)
    return method


def test_example_predicts(tempered, brats_run, brats_data, tmp_path):
    """Its maps are the baseline's at half the logit, written where evaluation finds them."""
    run, options, maps = shutil.copytree(brats_run, tmp_path / "run"), prediction.Options(), {}
    for method in (methods.get("baseline"), tempered):
        folder = prediction.predict_split(method, "brats", brats_data, run, "test", options, say=lambda line: None)
        files = sorted(folder.glob("*_probability.nii.gz"))
        maps[method.name] = np.stack([np.asarray(nibabel.load(path).dataobj, np.float64) for path in files])
    logit = np.log(maps["baseline"]) - np.log1p(-maps["baseline"])
    np.testing.assert_allclose(maps["tempered"], 1 / (1 + np.exp(-logit / 2)), atol=1e-5)


def test_example_is_listed(tempered):
    """The study plans it, on the shared baseline."""
    from made_up import manifest

    from tfunc.study.plan import plan

    jobs = [job.name for job in plan(manifest(), methods.parse(["tempered"]))]
    assert jobs == ["train_baseline", "predict_tempered", "evaluate"]
