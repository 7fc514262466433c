"""docs/howto/python.md runs as it stands, its blocks one after the other."""

import re
import shutil

from conftest import ROOT

from tfunc import methods
from tfunc.maps import predict
from tfunc.maps.options import Options


def test_its_blocks_run(brats_raw, brats_data, brats_run, tmp_path, monkeypatch):
    """On a phantom, with the numbers of samples that it says."""
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
    text, names = (ROOT / "docs" / "howto" / "python.md").read_text(encoding="utf-8"), {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    assert 0 < names["evaluation"].methods["baseline_mc"]["dice"] <= 1 and names["evaluation"].report.exists()
    assert len(list((tmp_path / "maps").glob("*.nii.gz"))) == 4 and names["figure"].axes
