"""NaN in anyone's maps: outside the mask it counts as background that the map is sure of; inside, and without one, refused."""

import nibabel
import numpy as np
import pytest
from made_up_maps import evaluate_study, make_study, read_csv, serial, undrawn, write

from data_prep.base.errors import UserError
from tfunc.reporting import publish
from tfunc.scoring import sources
from tfunc.scoring.truth import FolderTruth

PART = {"probability": "probability", "error": "uncertainty", "sigma": "uncertainty"}


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    undrawn(monkeypatch)


def change(folder, part, where, value):
    """Sets voxels of every map: where(mask, map) -> bool."""
    for path in sorted((folder / "maps").glob(f"*_{part}.nii.gz")):
        name = path.name[: -len(f"_{part}.nii.gz")]
        mask = np.asarray(nibabel.load(folder / "masks" / f"{name}.nii.gz").dataobj).T
        found = np.asarray(nibabel.load(path).dataobj).T.copy()
        found[where(mask, found)] = found.min() if value is None else value
        write(path, found)


def first_inside(mask, found):
    """The first voxel inside the mask."""
    return (np.cumsum(mask != 0).reshape(mask.shape) == 1) & (mask != 0)


@pytest.mark.parametrize("kind", PART)
def test_outside_the_mask(tmp_path, kind):
    """To every number the table of maps that are sure of background there; how many voxels there were is said."""
    tables = []
    for name, value in (("gaps", np.nan), ("sure", 0 if kind == "probability" else None)):
        make_study(tmp_path / name)
        if kind != "probability":  # the lowest value must be in the mask, to be the same in both
            change(
                tmp_path / name,
                PART[kind],
                lambda mask, found: (mask != 0) & (np.arange(found.size).reshape(found.shape) < 9),
                0,
            )
        change(tmp_path / name, PART[kind], lambda mask, found: mask == 0, value)
        finished = evaluate_study(tmp_path / name, kind)
        tables.append(read_csv(tmp_path / name / "out" / "subjects.csv"))
        gaps = finished.summary["gaps"]
        assert bool(gaps) == (name == "gaps")
        assert ("outside the masks are NaN and count as background" in finished.markdown) == bool(gaps)
    assert tables[0] == tables[1]


def test_a_segmentation_with_gaps(tmp_path):
    """NaN outside the mask is background there, too; inside it is no segmentation."""
    make_study(tmp_path)
    for path in (tmp_path / "maps").glob("*_prediction.nii.gz"):
        write(path, np.asarray(nibabel.load(path).dataobj).T.astype(np.float32))
    change(tmp_path, "prediction", lambda mask, found: mask == 0, np.nan)
    assert evaluate_study(tmp_path, "error").summary["subjects"] == 3
    change(tmp_path, "prediction", first_inside, np.nan)
    with pytest.raises(UserError, match=r"_prediction\.nii\.gz: expected whole numbers"):
        evaluate_study(tmp_path, "error")


@pytest.mark.parametrize("kind", PART)
def test_inside_the_mask_or_without_one(tmp_path, kind):
    """One voxel inside is refused, with its number; without masks NaN is refused with what would allow it."""
    make_study(tmp_path)
    change(tmp_path, PART[kind], lambda mask, found: mask == 0, np.nan)
    maps, truth = sources.folder_maps(tmp_path / "maps", kind), FolderTruth(str(tmp_path / "labels"))
    with pytest.raises(UserError, match="NaN may only lie outside of masks"):
        publish.evaluate_folders(publish.Request(tmp_path / "other"), maps, truth, serial)
    change(tmp_path, PART[kind], first_inside, np.nan)
    with pytest.raises(UserError, match="expected numbers where voxels count, found NaN in 1 of its voxels"):
        evaluate_study(tmp_path, kind)
