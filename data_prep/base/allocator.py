"""The memory allocator told to keep what is freed, for programs that run networks.

TensorFlow asks for tensors of megabytes at every operation, and frees them. By default glibc takes each from the system and
gives it back, so that all its pages are zeroed and mapped anew every time: on a processor that was 7 to 16 % of a training step
or an inference (docs/reference/performance.md). Peak memory is the same; less of it is given back before the
process ends.
"""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8  # of glibc's malloc.h
PAD = 64 << 20  # bytes that the heap grows by beyond what is asked for
FEW = 8  # processors up to which all threads share one heap: the others' are of 64 MB, and more is mapped anew all the same
OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX")


def keep_freed() -> bool:
    """Tells glibc's allocator to keep what is freed; returns whether it did.

    What the user chose in the environment stays, and an allocator that is not glibc's is left alone.
    """
    if any(name in os.environ for name in OWN) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        os.confstr("CS_GNU_LIBC_VERSION")
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError, ValueError):  # another C library, or another system
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: PAD}
    if (os.cpu_count() or 1) <= FEW:
        settings[M_ARENA_MAX] = 1
    return all(mallopt(name, value) == 1 for name, value in settings.items())
