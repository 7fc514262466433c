"""Workers are started without the script that started them: it runs once, whether it is guarded or not."""

import multiprocessing
import os
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from conftest import ROOT

from data_prep.base import spawned

UNGUARDED = """
import sys
from multiprocessing import spawn
sys.path.insert(0, {root!r})
from data_prep.base import pool
print("ran")
with pool.executor(2, tensorflow=False) as executor:
    print(list(pool.results(executor, abs, range(-3, 0))))
print(spawn.get_preparation_data("a process of the user's own")["init_main_from_path"] == __file__)
"""


def test_a_script_need_not_be_guarded(tmp_path):
    """Without `if __name__ == "__main__"` multiprocessing's own processes run it again, and end in a traceback."""
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED.format(root=str(ROOT)))
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == ["ran", "[3, 2, 1]", "True"]


@pytest.mark.long
def test_what_a_script_defines_is_not_sent(tmp_path):
    """Numbers of an enumeration of the script's own, for a map of labels, are numbers for the workers."""
    for folder in ("maps", "labels"):
        (tmp_path / folder).mkdir()
    for index in range(3):
        label = np.zeros((4, 5, 6), np.uint8)
        label[1:3, 1:4, index], label[1:3, 1:4, index + 1] = 1, 2
        for name, array in ((f"maps/{index}_probability", (label > 0) * np.float32(0.9)), (f"labels/{index}", label)):
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}.nii.gz")
        nibabel.save(
            nibabel.Nifti1Image((label > 0).astype(np.uint8), np.eye(4)), tmp_path / f"maps/{index}_prediction.nii.gz"
        )
    script = tmp_path / "script.py"
    script.write_text(
        f"import enum, sys\nsys.path.insert(0, {str(ROOT)!r})\nimport tfunc\n"
        "class Tumour(enum.IntEnum):\n    CORE = 1\n    EDEMA = 2\n"
        "means = {Tumour.CORE: 1, Tumour.EDEMA: 1}\n"
        "found = tfunc.evaluate('maps', 'labels', kind='probability', label_map=means, workers=2, out_dir='out')\n"
        "print([method['dice'] for method in found.methods.values()])\n"
    )
    ended = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "[1.0]"


def test_nothing_else_is_another():
    """The path of modules, the folder and the rest are told to a worker as ever."""
    context = spawned.Context()
    assert context.get_start_method() == "spawn"
    told, expected = context.SimpleQueue(), multiprocessing.get_context("spawn").SimpleQueue()
    for one, queue in ((context, told), (multiprocessing.get_context("spawn"), expected)):
        process = one.Process(target=_tell, args=(queue,))
        process.start()
        process.join()
    assert told.get() == expected.get()


def _tell(queue):
    queue.put((sys.path, sys.argv, os.getcwd()))
