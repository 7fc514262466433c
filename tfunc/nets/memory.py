"""Not enough memory, of the host or of a device, as one line that names the flags which ask for less."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import tensorflow as tf

from data_prep.base.errors import UserError


@contextlib.contextmanager
def enough(what: str, flags: Mapping[str, object]) -> Iterator[None]:
    """Inside the block running out of memory raises a `UserError`.

    what: for whom. flags: what asks for memory, the one to lower first.
    """
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        asked = [f"--{name}={value}" for name, value in flags.items()]
        words = str(getattr(error, "message", error)).splitlines() or [""]
        found = next((line[line.index("OOM") :] for line in words if "OOM" in line), "less")
        first, *rest = flags
        more = f", or {' or '.join(f'--{name}' for name in rest)}" if rest else ""
        do = f"lower --{first}{more}"
        raise UserError(
            what, expected=f"memory for {' '.join(asked)}", found=found.split(" by allocator")[0], do=do
        ) from None
