"""What a look at data finds: an error that is told and not raised, which says where, what was expected and found, and what to do.

| severity | |
| --- | --- |
| error | a program refuses it, or numbers that are made of it are wrong |
| warning | it is taken as it is, and seldom meant |
| note | what one should know: of an earlier version, unfinished, left behind |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Literal

from data_prep.base.errors import Command, UserError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was found. kind: which of the things that are looked for, in words that stay the same."""

    severity: Severity
    kind: str
    error: UserError


def finding(
    severity: Severity,
    kind: str,
    where: object,
    *,
    expected: object = None,
    found: object = None,
    do: str | Command | Iterable[str | Command] | None = None,
) -> Finding:
    """A `Finding` of an error's parts, as `UserError` has them."""
    return Finding(severity, kind, UserError(where, expected=expected, found=found, do=do))


def guarded(where: object, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What `look()` finds of the document or folder `where`; an error where it is of another form than any that we write.

    Documents without a seal may hold anything, and whoever looks at them must not end there.
    """
    found: list[Finding] = []
    try:
        found.extend(look())
    except UserError as error:
        found.append(Finding("error", "cannot be read", error))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        seen, do = f"{type(error).__name__}: {error}", "restore it, or remove it and make it anew"
        found.append(
            finding("error", "cannot be read", where, expected="the form that this toolkit writes", found=seen, do=do)
        )
    return found
