"""The precision of convolutions: what may be asked for, and what `auto` comes to on a processor or a GPU. No TensorFlow.

bfloat16 halves what is moved, and on processors with instructions for it what is computed takes a fraction of float32's
time; without them it is emulated, and slower. What `auto` came to is recorded, and a folder that was begun keeps its record.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

AUTO, FLOAT32, BFLOAT16, FLOAT16 = "auto", "float32", "bfloat16", "float16"
# Of folders that are new. `auto` becomes it once three seeds have shown that trainings in bfloat16 are as accurate; two seeds
# of a small network did not: their U-E differed by more than the seeds do (docs/reference/measurements.md)
DEFAULT = FLOAT32
OF_TRAINING = (AUTO, FLOAT32, BFLOAT16, FLOAT16)
OF_MAPS = (AUTO, FLOAT32, BFLOAT16)

CPU_INFO = pathlib.Path("/proc/cpuinfo")
INSTRUCTIONS = ("amx_bf16", "avx512_bf16")  # either multiplies bfloat16 and adds in float32
CAPABILITY = (8, 0)  # the first NVIDIA GPUs that do


class Choice(NamedTuple):
    """A precision, and why it is that one."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"precision {self.name}: {self.reason}"


def features(path: pathlib.Path = CPU_INFO) -> frozenset[str]:
    """The instruction sets of this processor, as Linux names them; none where nothing says them."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # another system
        return frozenset()
    found = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(found, "").split())


def of_processor(instructions: Collection[str] | None = None, environment: Mapping[str, str] | None = None) -> Choice:
    """What `auto` comes to where TensorFlow computes on this processor.

    instructions: as `features` gives them, which None asks. environment: None for this process's.
    """
    instructions = features() if instructions is None else instructions
    environment = os.environ if environment is None else environment
    found = next((name for name in INSTRUCTIONS if name in instructions), None)
    if found is None:
        return Choice(FLOAT32, f"this processor has neither {' nor '.join(INSTRUCTIONS)}, as far as it says")
    if environment.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return Choice(FLOAT32, f"this processor has {found}, but TF_ENABLE_ONEDNN_OPTS=0 leaves it unused")
    return Choice(BFLOAT16, f"this processor has {found}")


def of_gpus(capabilities: Sequence[tuple[int, int] | None]) -> Choice:
    """What `auto` comes to on GPUs of these compute capabilities, None for an unknown one; there is one at least."""
    lowest = min(capability or (0, 0) for capability in capabilities)
    if lowest == (0, 0):
        return Choice(FLOAT32, "a GPU that does not say its compute capability")
    said = f"a GPU of compute capability {lowest[0]}.{lowest[1]}"
    if lowest >= CAPABILITY:
        return Choice(BFLOAT16, said)
    return Choice(FLOAT32, f"{said}; --precision={FLOAT16} trains faster there")


def of_stack(name: str) -> Choice | None:
    """What `auto` comes to on a stack that is frozen, whatever it runs on; None on the other."""
    return Choice(FLOAT32, "the stack of TensorFlow Addons keeps what it did") if name == "addons" else None


def recorded(name: str | None) -> Choice:
    """What `auto` comes to in a folder that was begun; None: before there was a record."""
    return Choice(name or FLOAT32, "as the folder was begun")
