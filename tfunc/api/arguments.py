"""Errors and warnings in Python's words: what a program calls `--kind=error` is an argument here, `kind=error`."""

from __future__ import annotations

import functools
import inspect
import operator
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from data_prep.base.errors import UserError

Given = ParamSpec("Given")
Result = TypeVar("Result")
OTHER = {"engine": "own_engine"}  # flags whose argument is called otherwise
_FLAG = re.compile(r"(?<![^\s`('])--(?P<name>[a-z_]+)")
_OURS = ("tfunc", "data_prep", "contextlib", "functools")


def named(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """The function, whose `UserError`s name its arguments where the library below names flags.

    A flag that is none of its arguments stays one, and so do paths and commands to run.
    """
    own = frozenset(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            error.reword(lambda text: worded(text, own), where=lambda text: text.startswith("--"))
            raise

    return call


def worded(text: str, own: Iterable[str]) -> str:
    """A text of an error with these arguments in place of flags; what other programs' commands hold stays."""

    def argument(found: re.Match[str]) -> str:
        name = OTHER.get(found["name"], found["name"])
        return name if name in own else found[0]

    return _FLAG.sub(argument, text)


def whole(name: str, value: object) -> int:
    """A whole number of an argument, whichever class it has (an enumeration's, NumPy's). Raises `UserError` for another."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise UserError(name, expected="whole numbers", found=repr(value)) from None


def warn(line: str) -> None:
    """A warning that names the user's own line, however deep in ours it is given."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(line, stacklevel=level)
