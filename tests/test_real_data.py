"""The launchers on real files, where TFUNC_REAL_DATA names the folder that has them; else skipped.

The folder holds `brats/` with subjects in the layouts of 2021 and 2023, two of them labelled, and `isic/` in the layout
of 2017. Nothing of it is copied or kept.
"""

import json
import os
import pathlib

import nibabel
import numpy as np
import pytest

REAL = pathlib.Path(os.environ.get("TFUNC_REAL_DATA") or "/nonexistent")
TINY = ["--start_filters=4", "--depth=2", "--max_steps=3"]

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="TFUNC_REAL_DATA names no folder")


def run(launch, launcher, *flags):
    ended = launch(launcher, *flags)
    assert ended.code == 0, ended.err
    return ended.out


@pytest.mark.long
def test_brats(launch, tmp_path):
    """Two labelled subjects of different years through everything, the unlabelled one through `predict --input`."""
    raw = REAL / "brats"
    labelled = sorted(path.parent for path in raw.glob("*/*seg.nii.gz"))
    (unlabelled,) = {path for path in raw.iterdir() if path.is_dir()} - set(labelled)
    train, other = (folder.name for folder in labelled)
    (tmp_path / "split.json").write_text(json.dumps({"train": [train], "valid": [other], "test": [other]}))
    where = ["--dataset=brats", f"--data_dir={tmp_path / 'data'}"]
    out = run(launch, "prepare", *where, f"--raw_dir={raw}", f"--split_file={tmp_path / 'split.json'}", "--workers=1")
    assert "155 slices" in out
    where.append(f"--run_dir={tmp_path / 'run'}")
    run(launch, "train", "--method=baseline", *where, *TINY, "--batch_size=8")
    run(launch, "predict", "--method=baseline", *where)
    out = run(launch, "evaluate", *where, "--workers=1")
    assert "baseline" in out
    source = nibabel.load(
        next((raw / other).glob("*[-_]t2f.nii.gz"), None) or next((raw / other).glob("*_flair.nii.gz"))
    )
    written = nibabel.load(tmp_path / "run" / "predictions" / "baseline" / f"{other}_uncertainty.nii.gz")
    assert written.shape == source.shape == (240, 240, 155)
    np.testing.assert_allclose(written.affine, source.affine, atol=1e-6)
    flags = [f"--input={unlabelled}", f"--out_dir={tmp_path / 'maps'}", "--samples=2"]
    run(launch, "predict", "--method=baseline_mc", "--dataset=brats", where[2], *flags)
    probability = np.asarray(nibabel.load(tmp_path / "maps" / f"{unlabelled.name}_probability.nii.gz").dataobj)
    assert np.isfinite(probability).all() and 0 <= probability.min() < probability.max() <= 1


def test_isic(launch, tmp_path):
    """A handful of each official split, linked into a folder of their own, through everything."""
    for part, count in (("Training", 12), ("Validation", 3), ("Test_v2", 4)):
        images = sorted((REAL / "isic" / f"ISIC-2017_{part}_Data").glob("*.jpg"))[:count]
        for image in images:
            mask = image.parent.with_name(f"ISIC-2017_{part}_Part1_GroundTruth") / f"{image.stem}_segmentation.png"
            for path in (image, mask):
                link = tmp_path / "raw" / path.parent.name / path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
    where = ["--dataset=isic", f"--data_dir={tmp_path / 'data'}"]
    linked = [f"--raw_dir={tmp_path / 'raw'}", "--follow_links", "--image_size=96,128"]
    run(launch, "prepare", *where, *linked, "--workers=1")
    where.append(f"--run_dir={tmp_path / 'run'}")
    run(launch, "train", "--method=aleatoric", *where, *TINY, "--batch_size=4")
    run(launch, "predict", "--method=aleatoric", *where, "--full_size")
    out = run(launch, "evaluate", *where, "--workers=1")
    assert "aleatoric" in out
    maps = tmp_path / "run" / "predictions" / "aleatoric"
    assert len(list(maps.glob("*_uncertainty.nii.gz"))) == 4
    assert nibabel.load(next(maps.glob("*_probability.nii.gz"))).shape == (128, 96)
