"""Whole small studies by their own commands, made once for all tests of this folder."""

import dataclasses
import json
import pathlib
import shutil

import pytest

DATASETS = ("brats", "isic")
SHAPES = {"brats": "16,32,32", "isic": "32,48"}
SUBJECTS = {"brats": 10, "isic": 20}
METHODS = ("baseline", "baseline_mc", "ensemble", "auxiliary_feat", "auxiliary_segm", "aleatoric")
SETTINGS = (
    "--ensemble_size=2", "--folds=2", "--epochs=2", "--start_filters=4", "--depth=2", "--batch_size=8",
    "--learning_rate=1e-2", "--samples=3", "--jobs_per_machine=2", f"--methods={','.join(METHODS)}",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Whole:
    """A study on disk and how it is continued: the same command again."""

    dataset: str
    folder: pathlib.Path

    @property
    def run(self):
        return self.folder / "run"

    @property
    def where(self):
        return f"--dataset={self.dataset}", f"--data_dir={self.folder / 'data'}", f"--run_dir={self.run}"

    def copied(self, folder):
        """The same in a folder that may be written to. The times of files come along: freshness is read from them."""
        return Whole(self.dataset, shutil.copytree(self.folder, folder / "copy"))


@pytest.fixture(scope="session", params=DATASETS)
def whole(request, made_once, launch):
    """The `Whole` study of each data set, from made-up raw data to the report. Only to be read."""
    name = request.param

    def make(folder):
        study = Whole(name, folder)
        raw = f"--raw_dir={folder / 'raw'}"
        size = [] if name == "brats" else [f"--image_size={SHAPES[name]}"]
        for command in (
            ("phantom", f"--dataset={name}", raw, f"--subjects={SUBJECTS[name]}", f"--shape={SHAPES[name]}"),
            ("prepare", f"--dataset={name}", raw, f"--data_dir={folder / 'data'}", *size, "--workers=1"),
            ("study", *study.where, *SETTINGS),
        ):
            ended = launch(*command)
            assert ended.code == 0, ended.err
        (folder / "said.json").write_text(json.dumps(ended.out))

    return Whole(name, made_once(f"whole_{name}", make))
