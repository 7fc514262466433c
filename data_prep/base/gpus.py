"""Which GPUs a process of ours may use, and how several at a time share them. CUDA_VISIBLE_DEVICES is the user's word.

TensorFlow takes all memory of every GPU that it sees, so processes that run at the same time are each shown one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping

VISIBLE = "CUDA_VISIBLE_DEVICES"
COUNTED = "TFUNC_GPUS_COUNTED"  # set by who gave a process one of the GPUs that TensorFlow had been seen to see
GROWTH = "TF_FORCE_GPU_ALLOW_GROWTH"
COUNT = "import tensorflow as tf; print('GPUs', len(tf.config.list_physical_devices('GPU')))"


def named(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES names; [] where it is not set. CUDA ignores what follows a name that is none."""
    found: list[str] = []
    for name in environment.get(VISIBLE, "").split(","):
        if not name.strip() or name.strip().startswith("-"):
            break
        found.append(name.strip())
    return found


def counted() -> int:
    """How many GPUs TensorFlow sees as this process was started: asked of another process, which takes some seconds.

    This one must not start TensorFlow, which would take the memory that its jobs need.
    """
    if VISIBLE in os.environ and not named(os.environ):
        return 0
    with tempfile.TemporaryDirectory() as empty:  # a keras.json that Keras refuses must not count as no GPU
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_HOME": empty}
        command = [sys.executable, "-c", COUNT]
        asked = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    answers = [line.split()[1] for line in asked.stdout.splitlines() if line.startswith("GPUs ")]
    return int(answers[-1]) if answers else 0


def shared(processes: int) -> tuple[list[dict[str, str]], str]:
    """How `processes` at a time share the GPUs -> (an environment for each, a line for the user or nothing).

    Each sees one GPU, of those that CUDA_VISIBLE_DEVICES names where it is set, and none where it is set and empty. Where
    there are more processes than GPUs they go round, and TensorFlow takes memory as it is needed.
    """
    seen, given = counted(), named(os.environ)
    names = (given[:seen] or given) if VISIBLE in os.environ else [str(index) for index in range(seen)]
    if not names:
        return [{} for _ in range(processes)], f"{processes} jobs at a time share the CPU: TensorFlow sees no GPU"
    mark = {COUNTED: str(seen)} if seen else {}
    few = {GROWTH: "true"} if processes > len(names) else {}
    environments = [{VISIBLE: names[index % len(names)], **mark, **few} for index in range(processes)]
    if not seen:
        return environments, f"{VISIBLE}={','.join(given)} names GPUs, but TensorFlow sees none: jobs run on the CPU"
    if few:
        gpus = f"{len(names)} GPU{'s' * (len(names) != 1)} ({', '.join(names)})"
        return environments, f"{processes} jobs at a time share {gpus}; fewer --jobs_per_machine where memory runs out"
    return environments, ""
