"""Whole numbers of flags have a most: what would take hours, gigabytes or an overflow is one line, before anything is done."""

import ast

import pytest
from conftest import ROOT
from refusals import refused

from launch import ceilings
from tfunc.learning.settings import SETTINGS

BEYOND = (2**31, 2**32, 10**30)


def integer_flags():
    """(launcher, flag, whether it has an upper bound) of each `DEFINE_integer` in launch/."""
    for path in sorted((ROOT / "launch").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "DEFINE_integer":
                yield path.stem, node.args[0].value, any(each.arg == "upper_bound" for each in node.keywords)


FLAGS = sorted(integer_flags())


def test_every_whole_number_has_a_most():
    """Each flag of the launchers, and each whole number of a training's settings, whose paper's value lies far below."""
    assert len(FLAGS) > 15 and all(bounded for *_, bounded in FLAGS), FLAGS
    settings = {row.name: row.default for row in SETTINGS if row.kind is int}
    assert set(settings) == set(ceilings.TRAINING)
    assert all(
        default is None or default * 100 <= ceilings.TRAINING[name] or name == "depth"
        for name, default in settings.items()
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "flag"),
    [
        ("train", "ensemble_size"), ("train", "folds"), ("train", "depth"), ("train", "start_filters"),
        ("train", "batch_size"), ("study", "epochs"), ("study", "seeds"), ("study", "jobs_per_machine"),
        ("predict", "samples"), ("predict", "batch_size"), ("export", "version"), ("evaluate", "workers"),
        ("recalibrate", "workers"), ("prepare", "workers"), ("phantom", "subjects"), ("request", "version"),
    ],
)  # fmt: skip
def test_beyond_it_is_one_line(launch, program, flag):
    """The flag, the number and what it may be; exit code 2."""
    for number in BEYOND:
        refused(launch(program, f"--{flag}={number}"), 2, f"--{flag}", str(number), "is not an integer")


@pytest.mark.long
def test_sizes_and_ratios(launch, tmp_path):
    """Numbers in lists too: a side or a share that no data set has, and digits without end."""
    where = [f"--raw_dir={tmp_path}", f"--data_dir={tmp_path / 'data'}", "--dataset=isic"]
    for number in (*BEYOND, "9" * 5000):
        refused(launch("prepare", *where, f"--image_size={number},2"), 2, "--image_size=", "at most 1000000")
        refused(launch("prepare", *where, f"--ratio={number},2,2"), 2, "--ratio=", "at most 1000000")
        refused(launch("phantom", *where[:1], "--dataset=brats", f"--shape={number},16,16"), 2, "--shape")
        refused(launch("prepare", *where[:2], "--dataset=brats", f"--label_map={number}:1"), 2, "--label_map=")
