"""docs/howto/python.md runs as it stands, its blocks one after the other, and so do the examples in docstrings."""

import doctest
import re
import shutil

import numpy as np
import pytest
from conftest import ROOT

import tfunc
from tfunc import methods
from tfunc.maps import predict
from tfunc.maps.options import Options


@pytest.fixture
def demo(brats_raw, brats_data, brats_run, tmp_path, monkeypatch):
    """A folder with what the documents name, which is the working folder: a run with maps, a patient, labels."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(brats_run, "demo/run")
    shutil.copytree(next(brats_raw.rglob("Phantom18_000_1")), "patients/Phantom18_000_1")
    options = Options(samples=2)
    predict.predict_split(
        methods.get("baseline_mc"), "brats", brats_data, "demo/run", "test", options, say=lambda line: None
    )
    for maps in (tmp_path / "demo/run/predictions/baseline_mc").glob("*_prediction.nii.gz"):
        name = maps.name.removesuffix("_prediction.nii.gz")
        (tmp_path / "labels").mkdir(exist_ok=True)
        shutil.copy(next(brats_raw.rglob(f"{name}_seg.nii.gz")), tmp_path / "labels")
    return tmp_path


@pytest.mark.long
@pytest.mark.parametrize("name", ["load", "wrap", "evaluate"])
def test_examples_run(demo, name):
    """Those of the functions that users begin with, in doctest's form."""
    import keras

    function = getattr(tfunc, name)
    names = {"tfunc": tfunc, "np": np, "keras": keras}
    (example,) = doctest.DocTestFinder(recurse=False).find(function, name, globs=names)
    assert (
        example.examples and not doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(example).failed
    )


@pytest.mark.long
def test_its_blocks_run(demo):
    """On a phantom, with the numbers of samples that it says."""
    text, names = (ROOT / "docs" / "howto" / "python.md").read_text(encoding="utf-8"), {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    assert 0 < names["evaluation"].methods["baseline_mc"]["dice"] <= 1 and names["evaluation"].report.exists()
    assert len(list((demo / "maps").glob("*.nii.gz"))) == 4 and names["figure"].axes
