"""Walking raw data: links among links end, none leads out of the folder unasked, and nothing but a regular file is opened."""

import os
import pathlib
import shutil
import time

import own_folders
import pytest

from data_prep import convert, datasets, tables, tasks
from data_prep.base import regular, stamps
from data_prep.base.errors import UserError
from data_prep.readers import brats, folders, nifti, photographs


def touched(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def walked(top):
    return {folder.relative_to(top).as_posix(): names for folder, names in folders.walk(top)}


def test_a_walk_without_links(tmp_path):
    """Folders in order of their names, hidden ones and the Mac's left out."""
    for file in ("b/2.nii", "b/1.nii", "a/c/3.nii", "a-/4.nii", ".hidden/x", "__MACOSX/x", "a/.x"):
        touched(tmp_path / file)
    assert list(walked(tmp_path).items()) == [
        (".", []), ("a", []), ("a/c", ["3.nii"]), ("a-", ["4.nii"]), ("b", ["1.nii", "2.nii"]),
    ]  # fmt: skip
    assert folders.files(tmp_path / "b") == ["1.nii", "2.nii"]


def test_a_link_is_followed_once(tmp_path):
    """A folder is found under its own name and under that of each link to it, wherever they stand."""
    touched(tmp_path / "store" / "deep" / "1.nii")
    (tmp_path / "a").symlink_to("store")
    (tmp_path / "z").symlink_to("store/deep")
    assert walked(tmp_path) == {
        ".": [], "a": [], "a/deep": ["1.nii"], "store": [], "store/deep": ["1.nii"], "z": ["1.nii"],
    }  # fmt: skip


@pytest.mark.long
def test_links_among_links_end(tmp_path):
    """Twelve folders each with two links to each of the others, and to their own: a few hundred places, not 22 factorial."""
    for index in range(12):
        touched(tmp_path / f"d{index:02d}" / "1.nii")
    for index in range(12):
        for other in range(12):
            for name in ("x", "y"):
                (tmp_path / f"d{index:02d}" / f"{name}{other:02d}").symlink_to(tmp_path / f"d{other:02d}")
    (tmp_path / "self").symlink_to(".")
    begun = time.process_time()
    assert len(walked(tmp_path)) == 1 + 12 + 12 * 11 * 2
    assert time.process_time() - begun < 5


def test_a_link_to_itself_is_no_folder(tmp_path):
    """It stands among the files, as a link to nothing does: whoever reads it says so."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nothing").symlink_to("nowhere")
    assert walked(tmp_path) == {".": ["loop", "nothing"]} and folders.files(tmp_path) == ["loop", "nothing"]


def test_layers_of_links_end(tmp_path):
    """Forty layers, each reached from the one above by two links, as a walk by paths would do 2 to the 40 times."""
    for layer in range(40):
        touched(tmp_path / f"d{layer:02d}" / "1.nii")
        for name in ("x", "y"):
            (tmp_path / f"d{layer:02d}" / name).symlink_to(tmp_path / f"d{layer + 1:02d}")
    assert len(walked(tmp_path)) == 1 + 40 + 2 * 39


@pytest.fixture
def linked(tmp_path):
    """A raw folder with one case of its own and one that is linked in from elsewhere."""
    raw = tmp_path / "raw"
    touched(raw / "S1" / "S1_t1.nii")
    touched(tmp_path / "archive" / "S2" / "S2_t1.nii")
    (raw / "S2").symlink_to(tmp_path / "archive" / "S2")
    return raw


def test_links_out_of_the_folder(linked, tmp_path):
    """They are an error that names link and flag; with the flag, and where nobody asks for bounds, they are followed."""
    with folders.kept_within(linked), pytest.raises(UserError, match=r"raw/S2: .*found a link to .*--follow_links"):
        walked(linked)
    both = {".": [], "S1": ["S1_t1.nii"], "S2": ["S2_t1.nii"]}
    with folders.kept_within(linked, follow_links=True):
        assert walked(linked) == both
    assert walked(linked) == both
    (linked / "S2").unlink()
    (linked / "S1" / "S1_t2.nii").symlink_to(tmp_path / "archive" / "S2" / "S2_t1.nii")
    with folders.kept_within(linked):
        for look in (lambda: walked(linked), lambda: folders.files(linked / "S1")):
            with pytest.raises(UserError, match=r"S1/S1_t2.nii: .*--follow_links"):
                look()


def test_a_folder_that_is_a_link(tmp_path):
    """The raw folder may be a link itself, and hold links into itself, relative or through another name of it."""
    touched(tmp_path / "disk" / "S1" / "1.nii")
    (tmp_path / "raw").symlink_to("disk")
    (tmp_path / "disk" / "S2").symlink_to(tmp_path / "raw" / "S1")
    (tmp_path / "disk" / "S3").symlink_to("nowhere")
    with folders.kept_within(tmp_path / "raw"):
        assert walked(tmp_path / "raw") == {".": ["S3"], "S1": ["1.nii"], "S2": ["1.nii"]}


@pytest.mark.parametrize("form", [own_folders.nnunet, own_folders.decathlon, own_folders.pairs])
def test_own_forms_keep_within(form, tmp_path):
    """A folder of images, and a single image, that are links: refused without --follow_links, taken with it."""
    raw = form(tmp_path / "Dataset008_Two")
    images = next(path for path in sorted(raw.iterdir()) if path.is_dir() and path.name.startswith("image"))
    file = sorted(images.iterdir())[0]
    for path in (file, images):
        path.rename(tmp_path / f"elsewhere-{path.name}")
        path.symlink_to(tmp_path / f"elsewhere-{path.name}")
        with folders.kept_within(raw), pytest.raises(UserError, match="--follow_links"):
            datasets.find(str(raw))[0].load_reader().find(raw)
        with folders.kept_within(raw, follow_links=True):
            assert datasets.find(str(raw))[0].load_reader().find(raw)


def test_prepare_has_the_flag(launch, brats_raw, tmp_path):
    """A cohort of linked cases ends in one line, and is prepared with --follow_links; the records are those of the cases."""
    (tmp_path / "raw").mkdir()
    cases = sorted({path.parent for path in pathlib.Path(brats_raw).rglob("*_seg.nii*")})
    for folder in cases:
        (tmp_path / "raw" / folder.name).symlink_to(folder)
    command = [
        "prepare",
        "--dataset=brats",
        f"--raw_dir={tmp_path / 'raw'}",
        f"--data_dir={tmp_path / 'data'}",
        "--workers=1",
    ]
    ended = launch(*command, "--ratio=3,2,2")
    assert ended.code == 2 and "--follow_links" in ended.err.splitlines()[-1] and not (tmp_path / "data").exists()
    ended = launch(*command, "--ratio=3,2,2", "--follow_links")
    assert ended.code == 0, ended.err
    assert f"{len(cases)} subjects in" in ended.out


READS = {
    "nifti": lambda path: nifti.read_header(path),
    "photograph": lambda path: photographs.read_photograph(path, photographs.ANY),
    "size": lambda path: photographs.size(path),
    "orientation": lambda path: photographs.say_if_turned(path),
    "mask": lambda path: photographs.read_mask(path),
    "table": lambda path: tables.rows(path),
    "stamp": lambda path: stamps.taken([path]),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_pipes_are_not_opened(read, tmp_path):
    """A named pipe, or a link to a device, is one line at once, where an open would wait for ever or never end."""
    os.mkfifo(tmp_path / "x.nii")
    (tmp_path / "y.nii").symlink_to("/dev/zero")
    for name, what in (("x.nii", "named pipe"), ("y.nii", "a device")):
        with pytest.raises(UserError, match=f"{name}: expected a regular file, found .*{what}"):
            read(tmp_path / name)


def test_what_is_not_there_is_said_by_others(tmp_path):
    """`require` is silent for regular files, links to them, and nothing."""
    touched(tmp_path / "a")
    (tmp_path / "b").symlink_to("a")
    for name in "abc":
        regular.require(tmp_path / name)


def test_a_pipe_among_modalities(tmp_path, brats_raw):
    """A subject with a pipe for a modality is a fault as any other, and nothing waits for it."""
    shutil.copytree(brats_raw, tmp_path / "raw")  # no links: they change a file's times, which other tests compare
    pipe = brats.find(tmp_path / "raw")[0].files[1]
    os.unlink(pipe)
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="named pipe"):
        convert.convert(tasks.TASKS["brats"], tmp_path / "raw", tmp_path / "data", say=lambda line: None)
