"""A disk without room is said before the work, not after it."""

import collections

import pytest

from data_prep.base import room
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
