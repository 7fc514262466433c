"""The limits that SECURITY.md promises are those of the code."""

from conftest import ROOT

from data_prep import task_rules
from data_prep.base import names
from data_prep.readers import dicom_folder, dicom_frames, nifti_header, photographs
from launch import ceilings
from tfunc.scoring import npz
from tfunc.serving import inputs

LIMITS = (
    ("voxels of a volume", nifti_header.MAX_VOXELS, nifti_header),
    ("voxels of all files of a subject together", nifti_header.MOST_OF_SUBJECT, nifti_header),
    ("bytes of a volume's header extensions, and behind its voxels", nifti_header.SLACK, nifti_header),
    ("pixels of a slice in DICOM", dicom_frames.MOST_PIXELS, dicom_frames),
    ("frames of a file in DICOM", dicom_frames.MOST_FRAMES, dicom_frames),
    ("files below a folder of patients in DICOM", dicom_folder.MOST_FILES, dicom_folder),
    ("pixels of a photograph", photographs.MAX_PIXELS, photographs),
    ("numbers of an `.npz` with probabilities", npz.MOST_VALUES, npz),
    ("voxels along an axis of a volume that is sent to a server", inputs.LONGEST, inputs),
    ("classes of a task", task_rules.MOST_CLASSES, task_rules),
    ("a raw label", task_rules.MOST_LABEL, task_rules),
    ("bytes of a name in UTF-8", names.LONGEST, names),
    ("processes (`--workers`, `--jobs_per_machine`)", ceilings.PROCESSES, ceilings),
    ("passes, members, folds, seeds", ceilings.PASSES, ceilings),
    ("slices a batch (`--batch_size`)", ceilings.TRAINING["batch_size"], ceilings),
    ("`--depth`", ceilings.TRAINING["depth"], ceilings),
    ("`--start_filters`", ceilings.TRAINING["start_filters"], ceilings),
)


def test_limits_are_those_of_the_code():
    """Each row, in order, with its module; no row beside them."""
    rows = [f"| {what} | {most:,} | `{one.__name__.replace('.', '/')}.py` |" for what, most, one in LIMITS]
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    section = text[text.index("## Limits") : text.index("## How to report")]
    assert [line for line in section.splitlines() if line.startswith("| ")][2:] == rows
