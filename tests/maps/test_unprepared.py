"""New patients: in the run's voxel order, as many as lie there, and predicted again where their files changed."""

import json
import shutil

import nibabel
import numpy as np
import pytest

from data_prep import convert, records, tasks
from data_prep.base import artefacts
from data_prep.base.errors import Faults, UserError
from data_prep.map_files import MAPS
from data_prep.readers import brats, finding
from tfunc import methods, runs
from tfunc.maps import predict, unprepared
from tfunc.maps.options import Options

BASELINE = methods.get("baseline")


def copied(raw, into):
    """Copies of three phantom patients without their labels; returns their folder."""
    for folder in sorted(path for path in raw.glob("*/*") if path.is_dir())[:3]:
        shutil.copytree(folder, into / folder.name)
        (into / folder.name / f"{folder.name}_seg.nii.gz").unlink()
    return into


@pytest.fixture
def cohort(brats_raw, tmp_path):
    return copied(brats_raw, tmp_path / "cohort")


@pytest.fixture(scope="module")
def there(brats_raw, brats_run, made_once):
    """The maps of such a cohort as it lies. Only to be read."""

    def make(folder):
        predicted(copied(brats_raw, folder / "cohort"), brats_run, folder / "maps")

    return made_once("cohort_there", make) / "maps"


def predicted(path, run, out, **more):
    """({name: whether it was written now}, lines said)."""
    lines = []
    found = unprepared.predict_inputs(BASELINE, "brats", path, run, out, Options(), say=lines.append, **more)
    return {subject.name: maps is not None for subject, maps in found}, lines


def turned(folder, codes):
    """Rewrites a patient's files in another voxel order, by nibabel."""
    for path in folder.glob("*.nii.gz"):
        image = nibabel.load(path)
        start = nibabel.io_orientation(image.affine)
        change = nibabel.orientations.ornt_transform(start, nibabel.orientations.axcodes2ornt(codes))
        other = image.as_reoriented(change)
        nibabel.save(nibabel.Nifti1Image(np.asarray(other.dataobj), other.affine), path)


def maps_of(folder, name):
    return {kind: nibabel.load(folder / f"{name}_{kind}.nii.gz") for kind in MAPS}


def test_a_cohort_is_predicted_in_one_call(cohort, brats_run, tmp_path):
    """Each in the order of their names; the same call again does nothing."""
    names = sorted(path.name for path in cohort.iterdir())
    assert predicted(cohort, brats_run, tmp_path / "maps")[0] == dict.fromkeys(names, True)
    assert predicted(cohort, brats_run, tmp_path / "maps")[0] == dict.fromkeys(names, False)


def test_a_pattern_means_several_places(cohort, brats_run, tmp_path):
    """Each subject of each place; one that two places have is told, as is a pattern that means nothing."""
    first, second, *_ = names = sorted(path.name for path in cohort.iterdir())
    assert predicted(cohort / f"*{first[-6:]}", brats_run, tmp_path / "maps")[0] == {first: True}
    reader, task = brats, tasks.TASKS["brats"]
    found, faults = finding.new_at(reader, cohort / "*", None, task)
    assert [source.name for source in found] == names and not faults
    shutil.copytree(cohort / second, tmp_path / "again" / second)
    with pytest.raises(UserError, match="a name of its own for each subject"):
        finding.new_at(reader, f"{tmp_path}/[ac]*/{second}", None, task)
    with pytest.raises(UserError, match="nothing that it means"):
        finding.new_at(reader, cohort / "nobody*", None, task)


@pytest.mark.long
@pytest.mark.parametrize("kept_time", [False, True])
def test_new_files_under_old_names_are_predicted_again(cohort, brats_run, tmp_path, kept_time):
    """And the others of the cohort are not."""
    first, *others = sorted(cohort.iterdir())
    predicted(cohort, brats_run, tmp_path / "maps")
    before = np.asarray(maps_of(tmp_path / "maps", first.name)["probability"].dataobj)
    path, times = first / f"{first.name}_flair.nii.gz", None
    if kept_time:
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj)[::-1], image.affine, image.header), path)
    if times:
        import os

        os.utime(path, ns=times)
    found, lines = predicted(cohort, brats_run, tmp_path / "maps")
    assert found == {first.name: True, **{other.name: False for other in others}}
    assert lines == [f"{first.name}: {path.name} is another file; predicted again"]
    assert (np.asarray(maps_of(tmp_path / "maps", first.name)["probability"].dataobj) != before).any()


def test_modalities_that_were_mixed_up_are_predicted_again(cohort, brats_run, tmp_path):
    """The same files in other roles are other input."""
    first = sorted(cohort.iterdir())[0]
    files = {channel: f"{first.name}_{channel}.nii.gz" for channel in ("flair", "t1", "t2", "t1ce")}
    predicted(first, brats_run, tmp_path / "maps", modalities={**files, "t1": files["t2"], "t2": files["t1"]})
    found, lines = predicted(first, brats_run, tmp_path / "maps", modalities=files)
    assert found == {first.name: True} and "is in another role" in lines[0]
    assert predicted(first, brats_run, tmp_path / "maps", modalities=files)[0] == {first.name: False}


def test_maps_that_do_not_say_what_they_were_made_from_are_made_again(cohort, brats_run, tmp_path):
    """Those of an earlier version."""
    predicted(cohort, brats_run, tmp_path / "maps")
    for index in (tmp_path / "maps").glob("*.json"):
        document = artefacts.read_json(index)
        del document["files"]
        artefacts.write_json(index, document)
    found, lines = predicted(cohort, brats_run, tmp_path / "maps")
    assert all(found.values()) and "did not keep what it read; predicted again" in lines[0]


@pytest.mark.long
@pytest.mark.parametrize("codes", ["RAS", "PIR", "SAL"])
def test_a_patient_in_another_voxel_order_gets_the_same_maps(cohort, there, brats_run, tmp_path, codes):
    """To the bit, lying on the patient's own files; said once for the cohort."""
    for folder in cohort.iterdir():
        turned(folder, codes)
    _, lines = predicted(cohort, brats_run, tmp_path / "turned")
    assert len(lines) == 1 and f"voxels in the order {codes}, not LPS: permuted to LPS, and their maps back" in lines[0]
    for folder in cohort.iterdir():
        ours, theirs = maps_of(tmp_path / "turned", folder.name), maps_of(there, folder.name)
        source = nibabel.load(folder / f"{folder.name}_t1.nii.gz")
        for kind in MAPS:
            np.testing.assert_allclose(ours[kind].affine, source.affine, atol=1e-5)
            assert ours[kind].shape == source.shape
            back, expected = (nibabel.as_closest_canonical(image) for image in (ours[kind], theirs[kind]))
            np.testing.assert_array_equal(np.asarray(back.dataobj), np.asarray(expected.dataobj))


@pytest.mark.long
def test_a_run_of_before_learns_its_order_from_its_records(cohort, brats_run, brats_data, tmp_path):
    """Without them the patient is taken as it lies, which is said."""
    run = shutil.copytree(brats_run, tmp_path / "run")
    path = runs.network_dir(run, "baseline") / runs.CONFIG
    document = artefacts.read_json(path)
    assert document["task"].pop("order") == "LPS"
    path.write_text(json.dumps(document))
    finished = artefacts.read_json(path.with_name(runs.FINISHED))
    del finished["config_sha256"]  # nor did it vouch for its configuration
    artefacts.write_json(path.with_name(runs.FINISHED), finished)
    for folder in cohort.iterdir():
        turned(folder, "RAS")
    _, lines = predicted(cohort, run, tmp_path / "known", data_dir=brats_data)
    assert len(lines) == 1 and "not LPS" in lines[0]
    _, lines = predicted(cohort, run, tmp_path / "unknown", data_dir=tmp_path / "none")
    assert len(lines) == 1 and "did not keep the voxel order" in lines[0]
    found, lines = predicted(cohort, run, tmp_path / "unknown", data_dir=brats_data)  # as the line advises
    assert all(found.values()) and "read otherwise now, order None (there) against 'LPS' (asked for)" in lines[1]
    for folder in cohort.iterdir():
        for kind, image in maps_of(tmp_path / "unknown", folder.name).items():
            same = maps_of(tmp_path / "known", folder.name)[kind]
            np.testing.assert_array_equal(np.asarray(image.dataobj), np.asarray(same.dataobj))
    convert.convert("brats", cohort, tmp_path / "records", say=lambda line: None)
    lines = []
    predict.predict_split(BASELINE, "brats", tmp_path / "records", run, "predict", Options(), say=lines.append)
    assert "did not keep the voxel order" in lines[0] and "--input of their raw files" in lines[0]


def test_one_bad_patient_does_not_cost_the_others(cohort, brats_run, tmp_path):
    """It is said, and the program ends with its error."""
    first, second, third = sorted(cohort.iterdir())
    (second / f"{second.name}_t2.nii.gz").write_bytes(b"not NIfTI")
    (third / f"{third.name}_t1ce.nii.gz").unlink()
    lines = []
    found = unprepared.predict_inputs(BASELINE, "brats", cohort, brats_run, tmp_path / "m", Options(), say=lines.append)
    done = []
    with pytest.raises(Faults) as caught:
        done.extend(subject.name for subject, _ in found)
    assert done == [first.name] and set(caught.value.faults) == {second.name, third.name}
    assert {second.name, third.name} <= {line.split(":")[0] for line in lines}
    assert (tmp_path / "m" / f"{first.name}_prediction.nii.gz").exists()


def test_other_records_are_predicted_where_they_have_no_labels(cohort, there, brats_run, brats_data, tmp_path):
    """A cohort that was prepared: the maps of `--input`. Records with labels stay bound to their own networks."""
    run = shutil.copytree(brats_run, tmp_path / "run")
    manifest = convert.convert("brats", cohort, tmp_path / "data", say=lambda line: None)
    assert [entry.splits for entry in manifest.subjects] == [("predict",)] * 3
    folder = predict.predict_split(BASELINE, "brats", tmp_path / "data", run, "predict", Options())
    for entry in manifest.subjects:
        for kind, image in maps_of(there, entry.name).items():
            same = maps_of(folder, entry.name)[kind]
            np.testing.assert_array_equal(np.asarray(image.dataobj), np.asarray(same.dataobj))
    for path in cohort.iterdir():
        turned(path, "RAS")
    other, again = convert.convert("brats", cohort, tmp_path / "ras", say=lambda line: None), tmp_path / "again"
    shutil.copytree(brats_run, again)
    lines = []
    folder = predict.predict_split(BASELINE, "brats", tmp_path / "ras", again, "predict", Options(), say=lines.append)
    assert "voxels in the order RAS, not LPS: permuted to LPS, and the maps back" in lines[0]
    assert other.task.order == "RAS"
    for entry in other.subjects:
        for kind, image in maps_of(folder, entry.name).items():
            same = nibabel.as_closest_canonical(maps_of(there, entry.name)[kind])
            close = np.isclose(
                np.asarray(image.dataobj), np.asarray(same.dataobj), atol=1e-5
            )  # its mean is summed otherwise
            assert close.mean() > 0.999 and nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    assert records.read_manifest(brats_data).task.order == "LPS"
