"""What viewers are told of maps: headers as NIfTI says, and the colour tables of ITK-SNAP and 3D Slicer."""

import msgspec
import nibabel
import numpy as np
import pytest

from data_prep import label_colours, map_files, tasks
from data_prep.readers import nifti_header
from data_prep.tasks import Class, Region

SHAPE = (3, 5, 4)
MAPS = {
    "prediction": np.ones(SHAPE, np.uint8),
    "probability": np.full(SHAPE, 0.25, np.float32),
    "uncertainty": np.full(SHAPE, 3.0, np.float32),
    "mutual_information": np.full(SHAPE, 0.5, np.float32),
}


def headers(folder, about):
    block = nifti_header.plain(SHAPE[::-1]).binaryblock
    map_files.write(folder, "p", MAPS, block, about=about)
    return {name: nibabel.load(folder / f"p_{name}.nii.gz").header for name in MAPS}


@pytest.mark.parametrize("unit, limits", [(True, (0, 1)), (False, (0, 0))])
def test_headers(tmp_path, unit, limits):
    """Colours run from 0 to 1 but for an uncertainty without an upper end; segmentations are labels; all say who made them."""
    found = headers(tmp_path, map_files.About("tfunc 9.9, ensemble, networks 0123456789ab", unit))
    assert {one["descrip"].item() for one in found.values()} == {b"tfunc 9.9, ensemble, networks 0123456789ab"}
    of = {name: (float(one["cal_min"]), float(one["cal_max"])) for name, one in found.items()}
    assert of == {"prediction": (0, 0), "probability": (0, 1), "uncertainty": limits, "mutual_information": (0, 1)}
    assert [found[name].get_intent()[0] for name in ("prediction", "probability")] == ["label", "estimate"]
    assert found["mutual_information"].get_intent()[2] == "mutual_informat"  # the field holds 15 letters
    long = headers(tmp_path, map_files.About("ä" * 200))["prediction"]
    assert long["descrip"].item() == b"?" * 79  # the field holds 79


def test_colour_tables(tmp_path):
    """A line a label, in the numbers of the files; rewritten only where they are others."""
    task = tasks.TASKS["brats"]
    classes = (Class("background", (0,)), Class("kidney", (1, 3)), Class('a "cyst"', (300,)))
    own = msgspec.structs.replace(task, classes=classes, regions=(Region("kidney", "Kidney", (1, 2)),))
    label_colours.write(tmp_path, own)
    snap, slicer = (tmp_path / name for name in (label_colours.ITKSNAP, label_colours.SLICER))
    lines = [line.split(None, 7) for line in snap.read_text().splitlines() if not line.startswith("#")]
    assert [(int(line[0]), line[1:4], line[7]) for line in lines] == [
        (0, ["0", "0", "0"], '"Clear Label"'), (1, ["230", "159", "0"], '"kidney"'), (300, ["86", "180", "233"], '"a \'cyst\'"'),
    ]  # fmt: skip
    rows = [line.split() for line in slicer.read_text().splitlines() if not line.startswith("#")]
    assert rows == [
        ["0", "background", "0", "0", "0", "0"],
        ["1", "kidney", "230", "159", "0", "255"],
        ["300", 'a_"cyst"', "86", "180", "233", "255"],
    ]
    before = snap.stat().st_mtime_ns, snap.stat().st_ino
    label_colours.write(tmp_path, own)
    assert (snap.stat().st_mtime_ns, snap.stat().st_ino) == before
    snap.write_text("another")
    label_colours.write(tmp_path, own)
    assert "kidney" in snap.read_text()
