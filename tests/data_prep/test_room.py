"""A disk without room is said before the work, not after it."""

import collections
import errno
import pathlib

import numpy as np
import pytest
from PIL import Image

from data_prep import convert, forecast, tasks
from data_prep.base import artefacts, room
from data_prep.base.errors import UserError

Usage = collections.namedtuple("Usage", "total used free")


def test_too_little_is_said(tmp_path, monkeypatch):
    """With both numbers, for a folder that is not there yet; what just fits is enough."""
    asked = []
    monkeypatch.setattr(room.shutil, "disk_usage", lambda place: asked.append(place) or Usage(9e6, 7e6, 2e6))
    room.require(tmp_path / "a" / "b", 2_000_000, "weights")
    with pytest.raises(UserError, match=r"expected 2\.5 MB of room on its disk for weights, found 2\.0 MB; make room"):
        room.require(tmp_path / "a" / "b", 2_500_000, "weights")
    assert asked == [tmp_path, tmp_path] and not (tmp_path / "a").exists()


def test_a_disk_that_does_not_say(tmp_path, monkeypatch):
    """Nothing is refused for it."""
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: (_ for _ in ()).throw(OSError("not supported")))
    room.require(tmp_path, 1 << 60, "weights")


def test_a_place_is_tried(tmp_path, monkeypatch):
    """Before long work: the error names the file that is to be written; nothing is left, and what is there stays."""
    (tmp_path / "a.json").write_text("{}")
    room.require_place(tmp_path / "a.json")
    room.require_place(tmp_path / "new" / "a.json")
    assert (tmp_path / "a.json").read_text() == "{}" and list((tmp_path / "new").iterdir()) == []

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artefacts.os, "posix_fallocate", full)
    with pytest.raises(OSError) as found:
        room.require_place(tmp_path / "new" / "a.json")
    assert found.value.filename == str(tmp_path / "new" / "a.json") and list((tmp_path / "new").iterdir()) == []


def found_in(task, raw_dir):
    return task.load_reader().find(raw_dir)


@pytest.mark.parametrize("name", ["brats", "isic"])
def test_what_records_take_at_the_least(request, name):
    """No more than they do take, and not less than a tenth of it."""
    data = request.getfixturevalue(f"{name}_data")
    raw = request.getfixturevalue("brats_raw") if name == "brats" else data.parent / "raw"
    task = tasks.find(name) if name == "brats" else tasks.resolved(tasks.find(name), frame=(32, 48))
    took = sum(path.stat().st_size for path in data.glob("*.tfrecord"))
    least = forecast.least(task, found_in(task, raw))
    assert 0.1 * took < least <= took


def test_a_black_border_is_no_room(tmp_path):
    """Photographs are cropped as volumes are: what the disk must hold is less than their frame."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[12:52, 20:76] = 100  # a third of it
    for kind, image in (("Data", pixels), ("Part1_GroundTruth", pixels[..., 0] * 2)):
        ending = ".png" if kind == "Data" else "_segmentation.png"
        for part in ("Training", "Validation", "Test_v2"):
            folder = tmp_path / "raw" / f"ISIC-2017_{part}_{kind}"
            folder.mkdir(parents=True)
            Image.fromarray(image).save(folder / f"ISIC_{part}{ending}")
    options = {"image_size": (64, 96), "intensity": "unit"}
    convert.convert("isic", tmp_path / "raw", tmp_path / "data", options, say=lambda line: None)
    took = sum(path.stat().st_size for path in (tmp_path / "data").glob("*.tfrecord"))
    task = tasks.resolved(tasks.find("isic"), frame=(64, 96))
    assert 0 < forecast.least(task, found_in(task, tmp_path / "raw")) <= took


def test_of_many_subjects_some_headers_are_read(brats_raw, monkeypatch):
    """The rest is taken to be alike; one that can't be read counts nothing, and is said by whoever reads it."""
    task = tasks.find("brats")
    sources = found_in(task, brats_raw)
    whole = forecast.least(task, sources)
    monkeypatch.setattr(forecast, "MOST_HEADERS", 2)
    assert forecast.least(task, sources) == pytest.approx(whole, rel=1e-6)

    def unreadable(*_, **__):
        raise UserError("x", expected="a NIfTI header")

    monkeypatch.setattr(forecast.nifti, "read_header", unreadable)
    assert forecast.least(task, sources) == 0 == forecast.least(task, [])


def test_records_that_are_made_already_count(brats_raw, tmp_path, monkeypatch):
    """A conversion that goes on needs room for the rest."""
    task = tasks.find("brats")
    sources = found_in(task, brats_raw)
    least = forecast.least(task, sources)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: Usage(9e9, 9e9, least - 1000))
    with pytest.raises(
        UserError, match=r"expected .* MB of room on its disk for the records of 7 subjects, at the least"
    ):
        forecast.require_room(tmp_path, task, sources)
    (tmp_path / "parts").mkdir()
    pathlib.Path(tmp_path, "parts", "a.part").write_bytes(bytes(1000))
    forecast.require_room(tmp_path, task, sources)
