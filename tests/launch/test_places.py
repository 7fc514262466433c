"""What of a run in a store a program brings: by what its networks learn from, whatever their method is called."""

import sys

import pytest
from absl import flags

from launch import places
from tfunc import methods


@pytest.fixture
def wanted(monkeypatch):
    """wanted(program, flags) -> whether a file of the run is brought by that program."""

    def of(program, **given):
        found = flags.FlagValues()
        for name, value in given.items():
            flags.DEFINE_string(name, value, "", flag_values=found)
        found.mark_as_parsed()
        monkeypatch.setattr(places, "FLAGS", found)
        monkeypatch.setattr(sys, "argv", [f"launch/{program}.py"])
        return places._wants()

    return of


HELD_OUT = "predictions/cv_0@heldout/a_prediction.nii.gz"


def test_held_out_maps_are_brought_for_who_learns_from_them(wanted, monkeypatch):
    """By the table of networks: a method of one's own may train such a network, and one whose name begins alike need not."""
    own = methods.METHODS["auxiliary_segm"]
    monkeypatch.setitem(methods.METHODS, "mine", own)
    assert wanted("train", method="auxiliary_segm")(HELD_OUT) and wanted("train", method="mine")(HELD_OUT)
    assert wanted("train", method="baseline", network="auxiliary_segm")(HELD_OUT)
    for name in ("auxiliary_feat", "baseline", "ensemble", "unknown"):
        assert not wanted("train", method=name)(HELD_OUT)


def test_what_else_a_training_brings(wanted):
    """Its networks and every small document; no other's maps."""
    wants = wanted("train", method="auxiliary_segm")
    assert wants("networks/baseline/best.weights.h5") and wants("predictions/tta/predictions.json")
    assert not wants("predictions/tta/a_prediction.nii.gz") and not wants("evaluation/report.html")
    assert wants("seeds/2/predictions/baseline@valid/a_prediction.nii.gz")
