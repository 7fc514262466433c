"""Which engine runs the networks: TensorFlow, or another that is given each network as a whole.

All else stays TensorFlow's, whatever the engine: random draws, views of the image, sums over samples, entropy. So a method knows
nothing of engines: a network that is called while a graph is traced inside `used` becomes a call out of that graph.

No TensorFlow here, and none of the others: they are imported when they are asked for.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from data_prep.base.errors import UserError

TENSORFLOW = "tensorflow"
OTHERS = {"openvino": "tfunc.nets.openvino:OpenVino"}  # by the name of their package, which is that of the extra, too
ENGINES = (TENSORFLOW, *OTHERS)


class Engine(Protocol):
    """Another engine than TensorFlow."""

    def __init__(self, precision: str) -> None:
        """precision: `float32` or `bfloat16`, of the convolutions."""

    def __call__(self, owner: Any, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """What `call(owner, *arguments)` gives, tensors of the graph that is being traced, computed by the engine.

        arguments: nests of tensors, the first being images [batch, height, width, channels] of known height and width.
        """


_USED: contextvars.ContextVar[Engine | None] = contextvars.ContextVar("engine", default=None)


def require(name: str) -> None:
    """Raises `UserError` for an engine that there is not, or that is not installed."""
    if name not in ENGINES:
        raise UserError(f"--engine={name}", expected=f"one of {', '.join(ENGINES)}")
    if name != TENSORFLOW and importlib.util.find_spec(name) is None:
        do = f"install {name}, which is the extra [{name}] of this package"
        raise UserError(f"--engine={name}", expected=f"the package {name}", found="none", do=do)


def of(name: str, precision: str) -> Engine | None:
    """The engine of that name; None for TensorFlow. Raises `UserError` where it is not installed."""
    if name == TENSORFLOW:
        return None
    require(name)
    module, _, kind = OTHERS[name].partition(":")
    made: Engine = getattr(importlib.import_module(module), kind)(precision)
    return made


@contextlib.contextmanager
def used(engine: Engine | None) -> Iterator[None]:
    """Networks that are called inside run on `engine`; None: on TensorFlow."""
    token = _USED.set(engine)
    try:
        yield
    finally:
        _USED.reset(token)


def whole(call: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a method that runs a network, from images to its outputs or maps: an engine in use is given all of it."""

    @functools.wraps(call)
    def method(owner: Any, *arguments: Any) -> Any:
        engine = _USED.get()
        return call(owner, *arguments) if engine is None else engine(owner, call, arguments)

    return method
