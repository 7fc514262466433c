"""Runs launchers in forks of the test process, which has imported TensorFlow: each starts in a tenth of a second.

`fork` must be called before TensorFlow has run anything, which does not survive a fork; the process that it starts only
ever imports. It reads one JSON line a request: {"argv": …, "stdout": path, "stderr": path, "cwd": path} starts a script
and is answered by its process id; {"wait": id} is answered by its exit code, negative for a signal, when it has ended.
"""

import gc
import json
import os
import runpy
import sys
import traceback


def fork():
    """Starts the process that starts launchers; returns (requests, answers), files of text to write to and read from."""
    for_requests, requests = os.pipe()
    answers, for_answers = os.pipe()
    if os.fork():
        os.close(for_requests)
        os.close(for_answers)
        return os.fdopen(requests, "w"), os.fdopen(answers)
    try:
        os.close(requests)
        os.close(answers)
        _serve(os.fdopen(for_requests), os.fdopen(for_answers, "w"))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _serve(requests, answers):
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # a GPU's driver does not survive a fork
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where TensorFlow tells of its search; a real launcher sets it aside
    import tensorflow as tf

    import tfunc.fitting
    import tfunc.prediction  # noqa: F401

    tf.config.list_physical_devices()
    gc.freeze()  # what is here is not collected, nor copied for it, in each launcher

    for line in requests:
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                os.close(requests.fileno())
                os.close(answers.fileno())
                _become(request)
        print(answer, file=answers, flush=True)


def _become(request):
    """Becomes the launcher; never returns."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode, closefd=False) for number, mode in enumerate("rww"))
    os.chdir(request["cwd"])
    sys.argv = request["argv"]
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
