"""prepare --ratio: how many subjects go where, when nothing else says it."""

import pytest

from data_prep.base import artefacts


def test_the_ratio_divides_the_subjects(launch, tmp_path):
    """Eight phantom patients by 4,3,1; another ratio is another preparation, and is refused."""
    raw, data = tmp_path / "raw", tmp_path / "data"
    assert launch("phantom", "--dataset=brats", f"--raw_dir={raw}", "--subjects=8", "--shape=16,16,16").code == 0
    where = ["--dataset=brats", f"--raw_dir={raw}", f"--data_dir={data}", "--workers=1"]
    assert launch("prepare", *where, "--ratio=4,3,1").code == 0
    subjects = artefacts.read_json(data / "dataset.json")["subjects"]
    counts = {split: sum(split in one["splits"] for one in subjects) for split in ("train", "valid", "test")}
    assert counts == {"train": 4, "valid": 3, "test": 1}
    assert launch("prepare", *where, "--ratio=4,3,1").code == 0
    other = launch("prepare", *where, "--ratio=1,3,4")
    assert other.code == 2 and "Traceback" not in other.err


@pytest.mark.parametrize("ratio", ["4,3", "4,3,0", "a,b,c", "-1,2,3", "1.5,2,3"])
def test_another_ratio_is_refused(launch, tmp_path, ratio):
    """One line that names the flag."""
    ended = launch("prepare", "--dataset=brats", f"--raw_dir={tmp_path}", f"--ratio={ratio}")
    assert ended.code == 2 and "--ratio=" in ended.err and "three whole numbers above 0" in ended.err
