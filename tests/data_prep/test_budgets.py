"""What is in memory at a time has a most: of a subject's files together, once it is resampled, of arrays in a file."""

import io
import struct
import zipfile

import msgspec
import numpy as np
import own_folders
import pytest

from data_prep import grid, tables, task_rules, tasks
from data_prep.base import npy
from data_prep.base.errors import UserError
from data_prep.readers import brats, cases, nifti_header, nnunet, own_volumes


def test_files_of_a_subject_together(tmp_path, monkeypatch, brats_raw):
    """Each would be read; none is, and the first is named."""
    raw = own_folders.nnunet(tmp_path / "Dataset001_Own", ("CT", "PET"), cases=1)
    source = nnunet.find(raw)[0]
    voxels = int(np.prod(own_folders.SHAPE))
    assert own_volumes.read(source, 2).channels[0].shape == own_folders.SHAPE
    monkeypatch.setattr(nifti_header, "MOST_OF_SUBJECT", 2 * voxels - 1)
    with pytest.raises(
        UserError, match=rf"case_00_0000.* voxels in all files of a subject, found {2 * voxels} in 2 files"
    ):
        own_volumes.read(source, 2)
    assert own_volumes.read(cases.Source("a", source.files[:1]), 1).channels
    with pytest.raises(UserError, match="in 5 files"):
        brats.load(brats.find(brats_raw)[0])


def test_resampled_to_a_spacing_that_is_too_fine(tmp_path):
    """A spacing of micrometres is refused before slices of gigabytes are made."""
    raw = own_folders.nnunet(tmp_path / "Dataset001_Own", cases=1)
    own_folders.write_json(
        raw / "tfunc.json", {"spacing": [0.001, 0.001], "axis": 2, "channels": {"CT": {"normalise": "zscore"}}}
    )
    with pytest.raises(UserError, match="once it is resampled, found 18000x15000 a slice"):
        nnunet.load(nnunet.find(raw)[0], {}, nnunet.task(raw))


def packed(shape, descr="<f4", kind=zipfile.ZIP_STORED):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        archive.writestr("0000.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(400))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (packed("(10000000000,)"), "with a header that asks for"),
        (packed("(-1, 5)"), "a shape of"),
        (packed("(1,)", "|O"), "asks for"),
        (b"PK\x03\x04", "not a zip file"),
        (packed("(100,)").replace(b"0000.npy", b"0000.np\xff", 1), "directory"),
        (packed("(100,)", kind=zipfile.ZIP_DEFLATED).replace(b"\x08\x00", b"\x63\x00"), "expected numbers"),
    ],
)
def test_arrays_of_a_file(tmp_path, content, said):
    """What the header asks for must be in the file; what damage does to a zip archive is one line, whatever Python raises."""
    path = tmp_path / "a.npz"
    path.write_bytes(packed("(10, 10)"))
    assert npy.read_all(path, "numbers", "make it")[0].shape == (10, 10)
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        npy.read_all(path, "numbers", "make it")
    assert str(raised.value).startswith(f"{path}: expected numbers, found") and said in str(raised.value)


def test_a_table_of_any_size_is_not_read(tmp_path, monkeypatch):
    """It says how large it is."""
    monkeypatch.setattr(tables, "LARGEST", 3)
    (tmp_path / "a.csv").write_text("a;b")
    assert tables.rows(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("a;bc")
    with pytest.raises(UserError, match="found 4 bytes, more than the 3 that are read"):
        tables.rows(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("change", "entry"),
    [
        ({"regions": (tasks.Region("a", "a", (7,)),)}, "regions' classes"),
        ({"classes": (tasks.Class("b", (0,)), tasks.Class("c", (0,)))}, "labels"),
        ({"classes": (tasks.Class("b", (0,)), tasks.Class("c", (2**40,)))}, "labels"),
        ({"frame": (2**20, 2**20)}, "frame"),
        ({"order": "LLS"}, "order"),
        ({"axis": 7}, "axis"),
        ({"channels": ()}, "channels"),
        ({"per_shard": 2**40}, "per_shard"),
    ],
)
def test_values_that_no_task_can_have(change, entry):
    """Of their types, and told by name wherever a task is read."""
    task = msgspec.structs.replace(tasks.TASKS["brats"], **change)
    with pytest.raises(UserError, match=f"a.json: expected `{entry}` to be"):
        task_rules.require(task, "a.json")
    with pytest.raises(UserError, match=f"a.json: expected `{entry}` to be"):
        tasks.from_document(task.document(), "a.json")
    for known in tasks.TASKS.values():
        task_rules.require(known, "a.json")
    assert grid.MOST_VOXELS == nifti_header.MAX_VOXELS
