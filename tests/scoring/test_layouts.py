"""What a folder of folders is: methods or subjects, by what lies inside or as the user says; and what was understood is said."""

import numpy as np
import pytest
from made_up_maps import make_study, write

from data_prep.base.errors import UserError
from data_prep.base.pool import executor
from tfunc.scoring import sources
from tfunc.scoring.evaluate import evaluate
from tfunc.scoring.truth import FolderTruth


def put(folder, *names, part="probability"):
    """Empty files of maps."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}_{part}.nii.gz").touch()


LAYOUTS = {  # what lies inside -> the methods with their subjects, and what is said
    "flat": (["a", "b"], {"maps": ("a", "b")}, "one method, maps, of 2 subjects"),
    "monai": (["a/a", "b/b", "c/c"], {"maps": ("a", "b", "c")}, "one method, maps, of 3 subjects (a folder for each subject)"),
    "one case": (["case0/case0"], {"maps": ("case0",)}, "one method, maps, of 1 subject (a folder for each subject)"),
    "other names": (["p1/scan_1", "p2/scan_2"], {"maps": ("scan_1", "scan_2")}, "a folder for each subject"),
    "methods": (["x/a", "x/b", "y/a", "y/b"], {"x": ("a", "b"), "y": ("a", "b")}, "2 methods, x, y, of 2 subjects"),
    "methods of one case": (["x/a", "y/a"], {"x": ("a",), "y": ("a",)}, "2 methods, x, y, of 1 subject"),
    "one method of one case": (["x/a"], {"x": ("a",)}, "1 method, x, of 1 subject"),
    "methods of the table": (["baseline/baseline", "center/center"], {"baseline": ("baseline",), "center": ("center",)}, "2 m"),
    "methods of folders": (["x/a/a", "x/b/b", "y/a/a", "y/b/b"], {"x": ("a", "b"), "y": ("a", "b")}, "of 2 subjects (a folder"),
    "both": (["a", "b", "x/a", "x/b"], {"maps": ("a", "b")}, "the maps in its folder x are left out"),
    "hidden": (["a", ".trash/a"], {"maps": ("a",)}, "one method, maps, of 1 subject"),
}  # fmt: skip


@pytest.mark.parametrize("case", LAYOUTS)
def test_by_what_lies_inside(tmp_path, case):
    """Folders named as their one subject, or of one each and all different, are subjects; others are methods."""
    names, expected, said = LAYOUTS[case]
    put(tmp_path / "maps", *names)
    found = sources.folder_maps(tmp_path / "maps", "probability")
    assert {maps.method: maps.subjects for maps in found} == expected
    assert said in sources.understood(tmp_path / "maps", found)
    for maps in found:
        assert all(maps.path(subject).exists() for subject in maps.subjects)


def test_as_the_user_says(tmp_path):
    """--layout decides in place of what lies inside."""
    put(tmp_path / "maps", "a/a", "b/b")
    assert [maps.method for maps in sources.folder_maps(tmp_path / "maps", "probability", "methods")] == ["a", "b"]
    put(tmp_path / "sites", "one/a", "one/b", "two/c")
    (maps,) = sources.folder_maps(tmp_path / "sites", "probability", "subjects")
    assert maps.method == "sites" and maps.subjects == ("a", "b", "c")
    put(tmp_path / "sites", "two/a")
    with pytest.raises(UserError, match="expected the maps of a in one folder, found them in one and in two"):
        sources.folder_maps(tmp_path / "sites", "probability", "subjects")
    put(tmp_path / "flat", "a")
    with pytest.raises(UserError, match=r"flat: expected folders with <subject>_prob.*--layout=subjects, found none"):
        sources.folder_maps(tmp_path / "flat", "probability", "subjects")


@pytest.mark.parametrize("kind", ["probability", "error"])
def test_the_same_numbers(tmp_path, kind):
    """A folder for each subject, segmentations beside the maps, scores as one folder of all."""
    arrays = make_study(tmp_path)
    for name, found in arrays.items():
        for part in ("probability", "uncertainty", "prediction"):
            write(tmp_path / "monai" / name / f"{name}_{part}.nii.gz", found[part])
    truth, scores = FolderTruth(str(tmp_path / "labels")), []
    for folder in ("maps", "monai"):
        with executor(1) as workers:
            evaluated = evaluate(sources.folder_maps(tmp_path / folder, kind), truth, workers)
        scores.append(evaluated.scores[folder])
    assert scores[0].subjects == scores[1].subjects
    for name in ("dice", "ece", "ue"):
        np.testing.assert_array_equal(scores[0][name], scores[1][name])
