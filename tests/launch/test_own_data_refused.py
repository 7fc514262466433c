"""The errors that own folders bring, as `prepare.py` ends by them: the file in one line, exit code 2, nothing left behind."""

import own_folders
import pytest


def lacks_a_channel(raw):
    (raw / "imagesTr" / "case_00_0001.nii.gz").unlink()


def has_a_channel_more(raw):
    own_folders.write_volume(raw / "imagesTr" / "case_00_0002.nii.gz", own_folders.intensities(1))


def has_an_unknown_label(raw):
    own_folders.write_volume(raw / "labelsTr" / "case_00.nii.gz", own_folders.labels(values=(1, 9)))


def has_another_shape(raw):
    own_folders.write_volume(raw / "labelsTr" / "case_00.nii.gz", own_folders.labels((5, 12, 11)))


def has_another_affine(raw):
    affine = own_folders.AFFINE.copy()
    affine[0, 3] = 3
    own_folders.write_volume(raw / "labelsTr" / "case_00.nii.gz", own_folders.labels(), affine)


def has_labels_without_image(raw):
    own_folders.write_volume(raw / "labelsTr" / "lost.nii.gz", own_folders.labels())


def is_described_wrongly(raw):
    own_folders.write_json(raw / "dataset.json", {"channel_names": {"0": "T1", "1": "T2"}})


def has_a_strange_word(raw):
    own_folders.write_json(raw / "tfunc.json", {"chanels": {}})


def has_folds_of_others(raw):
    own_folders.write_json(raw / "splits_final.json", [{"train": ["case_00"], "val": ["elsewhere"]}])


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lacks_a_channel, "imagesTr/case_00_0001.nii.gz: expected one file for each of 2 channels, T1, T2"),
        (has_a_channel_more, "imagesTr/case_00_0002.nii.gz: expected one file for each of 2 channels, T1, T2"),
        (has_an_unknown_label, "labelsTr/case_00.nii.gz: expected labels of Dataset008_Two"),
        (has_another_shape, "labelsTr/case_00.nii.gz: expected the shape of case_00_0000.nii.gz"),
        (has_another_affine, "labelsTr/case_00.nii.gz: expected the affine of case_00_0000.nii.gz"),
        (has_labels_without_image, "labelsTr/lost.nii.gz: expected its image lost_0000.nii.gz in imagesTr"),
        (is_described_wrongly, "dataset.json: expected `labels`"),
        (has_a_strange_word, "tfunc.json: expected entries of title"),
        (has_folds_of_others, "splits_final.json: expected labelled cases of the data, found elsewhere in fold 0"),
    ],
)
def test_prepare_names_the_file(spoil, named, launch, tmp_path):
    """Whatever else is said before, the last line is the error, and it is one."""
    raw = own_folders.nnunet(tmp_path / "Dataset008_Two", channels=("T1", "T2"), cases=4)
    spoil(raw)
    ended = launch("prepare", f"--dataset={raw}", f"--data_dir={tmp_path / 'data'}", "--workers=1")
    assert ended.code == 2, ended.err
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and ended.err.splitlines()[-1] == errors[0] and "Traceback" not in ended.err
    assert errors[0].startswith(f"error: {raw}/{named}")


def test_a_folder_of_no_known_form(launch, tmp_path):
    """What lies there is said, and what should; a folder that is not there is another error."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.dcm").write_text("")
    ended = launch("prepare", f"--dataset={tmp_path / 'scans'}")
    assert ended.code == 2 and "imagesTr and labelsTr with a dataset.json" in ended.err and "a.dcm" in ended.err
    ended = launch("prepare", f"--dataset={tmp_path / 'nothing'}")
    assert ended.code == 2 and "no such folder" in ended.err
