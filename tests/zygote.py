"""Runs launchers in forks of one process that has imported TensorFlow: each starts in a tenth of a second, not in seven.

Reads one JSON line a request: {"argv": …, "stdout": path, "stderr": path, "cwd": path} starts a launcher and is answered
by its process id; {"wait": id} is answered by its exit code, negative for a signal, when it has ended. TensorFlow must
not have run anything before a fork, so this process only ever imports.
"""

import gc
import json
import os
import pathlib
import runpy
import signal
import sys
import threading
import traceback

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # a GPU's driver does not survive a fork
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from data_prep.base import processes as workers

workers.start_tensorflow()  # its chatter goes here, as in a launcher's own process it goes aside

import tfunc.learning.fit
import tfunc.maps.predict  # noqa: F401

gc.freeze()  # what is here is not collected, nor copied for it, in each launcher
LONGEST = 600  # seconds


def child(request):
    """Becomes the launcher; never returns. One that hangs ends by SIGALRM."""
    signal.alarm(LONGEST)
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(request["cwd"])
    os.environ.update(request.get("environment", {}))
    sys.argv = request["argv"]
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
        code = 1
    for thread in threading.enumerate():  # as the end of a process of one's own waits for them
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main():
    running = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
            running.discard(request["wait"])
        else:
            answer = os.fork()
            if answer == 0:
                try:
                    child(request)
                finally:
                    os._exit(1)  # it did not even begin
            running.add(answer)
        print(f"zygote {answer}", flush=True)
    for process in running:  # whoever asked for them is gone
        os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
