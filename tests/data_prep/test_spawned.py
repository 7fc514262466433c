"""Workers are started without the script that started them: it runs once, whether it is guarded or not."""

import multiprocessing
import os
import subprocess
import sys

from conftest import ROOT

from data_prep.base import spawned

UNGUARDED = """
import sys
sys.path.insert(0, {root!r})
from data_prep.base import pool
print("ran")
with pool.executor(2, tensorflow=False) as executor:
    print(list(pool.results(executor, abs, range(-3, 0))))
print(__file__ == sys.argv[0], __spec__)
"""


def test_a_script_need_not_be_guarded(tmp_path):
    """Without `if __name__ == "__main__"` multiprocessing's own processes run it again, and end in a traceback."""
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED.format(root=str(ROOT)))
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == ["ran", "[3, 2, 1]", "True None"]


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
