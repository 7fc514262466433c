"""Errors and warnings in Python's words: what a program calls `--kind=error` is an argument here, `kind=error`."""

from __future__ import annotations

import functools
import re
import sys
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from data_prep.base.errors import UserError

Given = ParamSpec("Given")
Result = TypeVar("Result")
_FLAG = re.compile(r"(^|[\s`('])--(?=[a-z])")
_OURS = ("tfunc", "data_prep", "contextlib", "functools")


def named(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """The function, whose `UserError`s name arguments where the library below names flags; commands to run stay as they are."""

    @functools.wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            error.reword(lambda text: _FLAG.sub(r"\1", text))
            raise

    return call


def warn(line: str) -> None:
    """A warning that names the user's own line, however deep in ours it is given."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] in _OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(_FLAG.sub(r"\1", line), stacklevel=level)
