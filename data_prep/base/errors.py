"""The ways a command may end early that are not bugs. `launch/program.py` turns them into one line and an exit code."""

from __future__ import annotations

import dataclasses
import re
import signal
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# half of a character, as JSON can have it and nothing can print; those between stand for a byte of a file's name
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")


@dataclasses.dataclass(frozen=True)
class Command:
    """One of our programs with some of its flags, as an error or a last line names it.

    The library does not know how the user started it, as `python launch/train.py` or as `tfunc train`, nor which folders
    were given: `launch/program.py` renders commands as they must be typed. Here they read as from a checkout.
    """

    program: str
    flags: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        return " ".join([f"python launch/{self.program}.py", *(f"--{name}={value}" for name, value in self.flags)])


def command(program: str, **flags: object) -> Command:
    """A `Command` of these flags, those that are None left out."""
    return Command(program, tuple((name, value) for name, value in flags.items() if value is not None))


class UserError(Exception):
    """Something the user can mend; exit code 2.

    The message is one line: what it is about (a file, a folder, a flag), what was expected there, what was found, and
    what to do next. do: text, a `Command` to run, or a tuple of texts and commands, of which expected may be one too.
    """

    exit_code = 2

    def __init__(
        self,
        where: object,
        *,
        expected: object = None,
        found: object = None,
        do: str | Command | Iterable[str | Command] | None = None,
    ):
        do = do if do is None or isinstance(do, (str, Command)) else tuple(do)
        self.arguments = (str(where), expected, found, do)
        super().__init__(self.message())

    def message(self, typed: Callable[[Command], str] = str) -> str:
        """The line. typed: how a command reads."""
        from data_prep.base import stores  # which raises these

        where, expected, found, do = self.parts(typed)
        seen = [f"{word} {part}" for word, part in (("expected", expected), ("found", found)) if part is not None]
        message = f"{where}: {', '.join(seen)}" if seen else where
        line = stores.told(" ".join(f"{message}; {do}".split() if do else message.split()))
        return _HALF.sub(lambda found: f"\\u{ord(found[0]):x}", line)

    def parts(self, typed: Callable[[Command], str] = str) -> tuple[str, str | None, str | None, str | None]:
        """(where, what was expected, what was found, what to do) as text, None where it was not said. typed: as in `message`."""
        where, expected, found, do = self.arguments
        return (
            where,
            None if expected is None else _joined(expected, typed),
            None if found is None else str(found),
            _joined(("run ", do) if isinstance(do, Command) else do, typed) if do else None,
        )

    def reword(self, change: Callable[[str], str], where: Callable[[str], bool]) -> None:
        """Changes the texts of the line, in place; commands in it stay. where: whether what it is about is changed too."""
        about, expected, found, do = self.arguments
        about = change(about) if where(about) else about
        self.arguments = about, _reworded(expected, change), _reworded(found, change), _reworded(do, change)
        self.args = (self.message(),)

    def __reduce__(self) -> tuple[Any, ...]:  # keyword arguments survive the way back from a worker process
        where, expected, found, do = self.arguments
        return _rebuild, (type(self), where, expected, found, do)


def _reworded(part, change):
    if isinstance(part, tuple):
        return tuple(_reworded(one, change) for one in part)
    return change(part) if isinstance(part, str) else part


class Faults(UserError):
    """Several subjects cannot be used, each for its own reason; what can be is found all the same.

    faults: {subject or place: its error}, at least one. found: what the function would have returned without them.
    The line is the first fault's, and how many more there are.
    """

    def __init__(self, faults: Mapping[str, UserError], found: Any = None):
        self.faults, self.found = dict(faults), found
        (first, *rest) = self.faults.values()
        where, expected, seen, do = first.arguments
        more = f" (and {len(rest)} more: {', '.join(list(self.faults)[1:4])}{', …' if len(rest) > 3 else ''})"
        super().__init__(where, expected=expected, found=f"{seen}{more}" if rest else seen, do=do)

    def __reduce__(self) -> tuple[Any, ...]:
        return Faults, (self.faults, self.found)


class NotReady(UserError):
    """Another command must run first; exit code 3. `do` names that command."""

    exit_code = 3


class Stopped(Exception):
    """A signal asked a long command to stop: its state is saved and the same command continues.

    number: of the signal; the exit code is 128 more, as a shell reports it.
    """

    def __init__(self, message: str, number: int = signal.SIGTERM):
        super().__init__(message)
        self.exit_code = 128 + number


def _joined(pieces: object, typed: Callable[[Command], str]) -> str:
    pieces = pieces if isinstance(pieces, tuple) else (pieces,)
    return "".join(f"`{typed(piece)}`" if isinstance(piece, Command) else str(piece) for piece in pieces)


def _rebuild(cls, where, expected, found, do):
    return cls(where, expected=expected, found=found, do=do)
