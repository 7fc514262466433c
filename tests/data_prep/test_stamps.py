"""Whether a file is still the one that something was made from: nothing but its content decides."""

import os

import pytest

from data_prep.base import stamps
from data_prep.base.errors import UserError


@pytest.fixture
def files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"content of {name}")
    return [tmp_path / "a", tmp_path / "b"]


def test_an_unchanged_file_is_not_read_again(files, tmp_path, monkeypatch):
    """Its times are enough; that keeps a second look at gigabytes short."""
    taken = stamps.taken(files, tmp_path)
    assert [stamp["path"] for stamp in taken] == ["a", "b"]
    monkeypatch.setattr(stamps.artefacts, "sha256", None)
    assert stamps.changed(taken, files, tmp_path) == ""


def test_touched_copied_and_moved_files_are_the_same(files, tmp_path):
    """Another time or root with the same content is the same file."""
    taken = stamps.taken(files, tmp_path)
    os.utime(files[0], (1, 1))
    assert stamps.changed(taken, files, tmp_path) == ""
    (tmp_path / "moved").mkdir()
    moved = [path.rename(tmp_path / "moved" / path.name) for path in files]
    assert stamps.changed(taken, moved, tmp_path / "moved") == ""


def test_other_content_under_the_same_name_size_and_time_is_seen(files, tmp_path):
    """As after `rsync -t` of a corrected file, or an editor that keeps times."""
    taken, before = stamps.taken(files, tmp_path), files[1].stat()
    files[1].write_text("CONTENT OF B")
    os.utime(files[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert files[1].stat().st_size == before.st_size
    assert stamps.changed(taken, files, tmp_path) == "b is another file"


def test_files_that_changed_places_are_seen(files, tmp_path):
    """As where two modalities were mixed up and are named rightly now."""
    taken = stamps.taken(files, tmp_path)
    assert stamps.changed(taken, files[::-1], tmp_path) == "b is in another role, a is in another role"


def test_what_cannot_be_read_or_understood_is_said(files, tmp_path):
    """A link that leads nowhere is one line; stamps in a document that somebody edited vouch for nothing."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="link: expected a file that can be read, found No such file"):
        stamps.taken([tmp_path / "link"])
    for edited in ([{"path": "a"}], {"a": 1}, "a", [3], None):
        assert stamps.changed(edited, files, tmp_path) == "what it was made from is not known any more"


def test_files_that_come_and_go_are_named(files, tmp_path):
    """A label that is new, a modality that is gone."""
    taken = stamps.taken(files, tmp_path)
    (tmp_path / "c").write_text("new")
    assert stamps.changed(taken, [files[0], tmp_path / "c"], tmp_path) == "b is gone, c is new"
    files[0].unlink()
    assert stamps.changed(taken, files, tmp_path) == "a is another file"


@pytest.mark.parametrize("shown", ["a", "in/b", "in//b", "./a", "in/../a", "../elsewhere", "in/./b"])
@pytest.mark.parametrize("is_absolute", [True, False])
def test_paths_are_kept_as_pathlib_has_them(shown, is_absolute, tmp_path, monkeypatch):
    """Relative to the root, in whichever form they and the root are given; most are told by their beginning alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a", "in/b", "../elsewhere"):
        (tmp_path / name).write_text(name)
    path = f"{tmp_path}/{shown}" if is_absolute else shown
    (expected,) = stamps.taken([tmp_path / shown], tmp_path)
    absolute = (tmp_path / shown).absolute()
    assert expected["path"] == absolute.relative_to(tmp_path).as_posix()
    for root in (tmp_path, str(tmp_path), f"{tmp_path}/", "."):
        assert stamps.taken([path], root) == [expected]
