"""`tfunc.evaluate`: the program's evaluation of anyone's folders, from Python."""

import shutil

import nibabel
import numpy as np
import pytest
from made_up_maps import make_study, read_csv, undrawn

import tfunc
from data_prep.base.errors import UserError
from data_prep.readers import nifti


@pytest.mark.long
def test_it_is_the_programs(launch, tmp_path, monkeypatch):
    """The same tables to the byte; what is there already is read; shown in Jupyter as Table 1."""
    undrawn(monkeypatch)
    make_study(tmp_path, 2)
    folders = {name: tmp_path / name for name in ("labels", "masks")}
    found = tfunc.evaluate(tmp_path / "maps", **folders, kind="probability", out_dir=tmp_path / "ours")
    flags = [f"--{name}={path}" for name, path in folders.items()]
    ended = launch(
        "evaluate",
        f"--predictions={tmp_path / 'maps'}",
        *flags,
        "--kind=probability",
        f"--out_dir={tmp_path / 'theirs'}",
    )
    assert ended.code == 0, ended.err
    for name in ("subjects.csv", "table1.md", "thresholds.csv"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()
    (method,) = found.methods
    rows = read_csv(tmp_path / "ours" / "subjects.csv")
    assert found.methods[method]["dice"] == pytest.approx(sum(float(row["dice"]) for row in rows) / 2)
    assert found._repr_markdown_() == found.markdown and found.report.exists() and str(found.folder) in repr(found)
    again = tfunc.evaluate(tmp_path / "maps", **folders, kind="probability", out_dir=tmp_path / "ours")
    assert again.summary == found.summary


def test_maps_that_are_left_out_are_told(tmp_path, monkeypatch):
    """A folder of maps with method folders beside them is one method, and says so; method folders alone are all evaluated."""
    undrawn(monkeypatch)
    make_study(tmp_path, 1)
    shutil.copytree(tmp_path / "maps", tmp_path / "both" / "first")
    shutil.copytree(tmp_path / "maps", tmp_path / "both" / "second")
    labels = tmp_path / "labels"
    found = tfunc.evaluate(tmp_path / "both", labels, kind="probability", out_dir=tmp_path / "all")
    assert set(found.methods) == {"first", "second"}
    shutil.copytree(tmp_path / "maps", tmp_path / "both", dirs_exist_ok=True)
    with pytest.warns(UserWarning, match="both: its own maps are evaluated.* those in first, second are left out"):
        found = tfunc.evaluate(tmp_path / "both", labels, kind="probability", out_dir=tmp_path / "own")
    assert set(found.methods) == {"both"}


def test_without_a_folder_it_goes_to_a_new_one(tmp_path, monkeypatch):
    """Which stays."""
    undrawn(monkeypatch)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    make_study(tmp_path, 1)
    found = tfunc.evaluate(tmp_path / "maps", tmp_path / "labels", kind="probability")
    assert found.folder.parent == tmp_path and (found.folder / "subjects.csv").exists()


@pytest.mark.long
def test_images_are_shown(tmp_path, monkeypatch):
    """They stand in the report, the numbers are those without; one that lies elsewhere is told, and one that changed is seen."""
    undrawn(monkeypatch, overlays=True)
    make_study(tmp_path, 2)
    rng, where = np.random.default_rng(0), (tmp_path / "maps", tmp_path / "labels")
    for index, label in enumerate(sorted((tmp_path / "labels").glob("*.nii.gz"))):
        name = label.name.removesuffix(".nii.gz").removesuffix("_seg")
        array, affine = nifti.read_map(label)
        picture = nibabel.Nifti1Image(rng.integers(1, 900, array.shape[::-1]).astype(np.int16), affine)
        (tmp_path / "images").mkdir(exist_ok=True)
        nibabel.save(picture, tmp_path / "images" / f"{name}{'_0000' * index}.nii.gz")  # either name
    plain = tfunc.evaluate(*where, kind="probability", out_dir=tmp_path / "plain")
    shown = tfunc.evaluate(*where, tmp_path / "images", kind="probability", out_dir=tmp_path / "shown")
    assert (tmp_path / "plain" / "subjects.csv").read_bytes() == (tmp_path / "shown" / "subjects.csv").read_bytes()
    page = {one: one.report.read_text(encoding="utf-8") for one in (plain, shown)}
    assert '-image">' in page[shown] and '-image">' not in page[plain]
    assert (tmp_path / "shown" / "overlay.png").exists() and not (tmp_path / "plain" / "overlay.png").exists()
    written = shown.report.stat().st_mtime_ns
    nibabel.save(
        nibabel.Nifti1Image(np.ones(array.shape[::-1], np.int16), affine), tmp_path / "images" / f"{name}_0000.nii.gz"
    )
    again = tfunc.evaluate(*where, tmp_path / "images", kind="probability", out_dir=tmp_path / "shown")
    assert again.report.stat().st_mtime_ns > written
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 3, 3), np.int16), affine), tmp_path / "images" / f"{name}_0000.nii.gz")
    with pytest.raises(UserError, match="expected the shape of"):
        tfunc.evaluate(*where, tmp_path / "images", kind="probability", out_dir=tmp_path / "other")
    (tmp_path / "images" / f"{name}_0000.nii.gz").unlink()
    with pytest.raises(UserError, match=f"one image of {name}, found none"):
        tfunc.evaluate(*where, tmp_path / "images", kind="probability", out_dir=tmp_path / "other")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"workers": 0}, "workers: expected 1 or more"),
        ({"workers": "2"}, "workers: expected 1 or more, found '2'"),
        ({"regions": {"whole": 1}}, "regions: expected a list of raw labels for each, found whole: 1"),
        ({"label_map": [1, 2]}, "label_map: expected a dictionary"),
        ({"regions": {"whole": [1]}, "label_map": {1: 1}}, "label_map: expected no regions"),
        ({"regions": {"whole": [0]}}, "regions"),
        ({"regions": {"whole": ["1"]}}, "regions: expected whole numbers, found '1'"),
        ({"label_map": {1.5: 1}}, "label_map: expected whole numbers, found 1.5"),
        ({"label_map": {1: "1"}}, "label_map: expected whole numbers, found '1'"),
        ({"ignore_label": float("nan")}, "ignore_label: expected whole numbers, found nan"),
        ({"kind": "best"}, "expected a kind of"),
        ({"ignore_label": 1, "label_map": {1: 1}}, "mapped or ignored"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(more, words, tmp_path):
    """Before anything is written."""
    make_study(tmp_path, 1)
    with pytest.raises(UserError, match=words):
        tfunc.evaluate(
            tmp_path / "maps", tmp_path / "labels", out_dir=tmp_path / "out", **{"kind": "probability", **more}
        )
    assert not (tmp_path / "out").exists()
