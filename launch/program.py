"""What every launcher shares: flags read with our exit codes, errors and commands as the user types them, quiet TensorFlow."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags

from data_prep.base import processes, signals, stores, streams
from data_prep.base.errors import Command, Stopped, UserError
from launch import edge, places

streams.settle()
processes.set_environment()  # a launcher may import TensorFlow on its own

started_as = "python"  # or `tfunc`, where launch/main.py started the program
FOLDERS = {  # which of the folders that the user gave the other programs must be given too
    "train": ("data_dir", "run_dir"),
    "predict": ("data_dir", "run_dir"),
    "evaluate": ("data_dir", "run_dir"),
    "recalibrate": ("data_dir", "run_dir"),
    "study": ("data_dir", "run_dir"),
    "export": ("run_dir",),
}
ANEW = (
    "phantom",
    "check",
    "evaluate",
    "recalibrate",
    "export",
    "request",
)  # programs that keep nothing of what was begun


def typed(command: Command) -> str:
    """A command as this user types it: started as this program was, with the folders that were given here, quoted."""
    own = dict(command.flags)
    given = {
        name: flags.FLAGS[name].value
        for name in FOLDERS.get(command.program, ())
        if name not in own and name in flags.FLAGS and flags.FLAGS[name].present
    }
    return " ".join(
        [start_of(command.program), *(f"--{name}={quoted(value)}" for name, value in {**own, **given}.items())]
    )


def started() -> str:
    """This very command as it can be typed again, as text that any file can hold."""
    return streams.text_of(" ".join([start_of(pathlib.Path(sys.argv[0]).stem), shlex.join(sys.argv[1:])]).rstrip())


def start_of(name: str) -> str:
    """How this user starts a program of ours, before its flags."""
    return f"tfunc {name}" if started_as == "tfunc" else f"python launch/{name}.py"


def quoted(value: object) -> str:
    """A path or value as it must be typed behind a command that is printed."""
    return str(value) if value == "…" else shlex.quote(str(value))  # the dots stand for what only the user knows


def argv(name: str) -> list[str]:
    """How another of our programs is started as a process, from a checkout or from an installed wheel."""
    folder = pathlib.Path(__file__).resolve().parent
    start = [str(folder / "main.py"), name] if started_as == "tfunc" else [str(folder / f"{name}.py")]
    return [sys.executable, *start]


def stop(error: UserError | Stopped) -> NoReturn:
    """Ends the program with the error's one line and exit code."""
    _stop(error.message(typed) if isinstance(error, UserError) else str(error), error.exit_code)


def _flags_parser(argv):
    """absl's own parser answers a bad flag with exit code 1 and several lines; ours gives one line and 2."""
    try:
        rest = flags.FLAGS(argv)
        if len(rest) > 1:
            raise UserError(f"argument {rest[1]!r}", expected="flags of the form --name=value", do="see --helpshort")
        return rest
    except SystemExit:
        return _end_of_help()  # absl ends here after --help, with 1
    except BrokenPipeError:
        _left()
    except flags.Error as error:
        _stop(f"{' '.join(str(error).split())}; see --helpshort", UserError.exit_code)
    except UserError as error:
        stop(error)


def show(text: str) -> None:
    """Prints what is no program's work, such as help; a reader who has had enough ends the program as it ends others."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _left()


def _end_of_help() -> NoReturn:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _left()
    sys.exit(0)


def _left() -> NoReturn:
    """Whoever read our output has had enough, as `head` has."""
    streams.abandon(1)
    sys.exit(141)


def _stop(message: str, code: int) -> NoReturn:
    streams.say_error(f"error: {stores.told(message)}")
    sys.exit(code)


def run(main: Callable[[], object]) -> None:
    """Runs `main()` under absl. What the user can mend becomes one line and exit code 2 or 3; what is left is a bug (1)."""

    asked: list[int] = []

    def end(number):
        asked.append(number)
        raise signals.Asked(number)

    def guarded(_):
        try:
            with places.settled():
                main()
            _flush()  # here, where a full disk or a reader that has left still becomes a line and a code
        except Stopped as error:
            stop(error)
        except BaseException as error:
            if asked:  # whatever others' code made of it on its way
                _end_as_asked(asked[0])
            _end(error)
            raise

    with signals.caught(end):
        try:
            processes.end_with_starter()
            app.run(guarded, flags_parser=_flags_parser)
        except signals.Asked as error:  # before `main` or after it
            _end_as_asked(error.number)


def _end_as_asked(number: int) -> NoReturn:
    """One line, and the signal's exit code, as a shell reports it."""
    follows = "begins anew" if pathlib.Path(sys.argv[0]).stem in ANEW else "continues with what is left"
    _stop(f"stopped by {signal.Signals(number).name}; the same command {follows}", 128 + number)


def _end(error: BaseException) -> None:
    """Ends with the line and code of an error; returns for a bug, and for an end that is one already."""
    if isinstance(error, UserError):
        stop(error)
    if isinstance(error, BrokenPipeError):
        _left()
    if isinstance(error, KeyboardInterrupt):
        _stop("interrupted; the same command continues from what was saved last", 130)
    if isinstance(error, Exception):
        _end_at_the_edge(error)


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError as error:
        streams.abandon(1)
        error.filename = "standard output"
        raise


def _end_at_the_edge(error: Exception) -> None:
    """Says the line of what the user can mend, and ends; returns for a bug.

    Of a file that HDF5 could not write it says nothing more, and does not crash on it.
    """
    with contextlib.suppress(OSError):
        _flush()
    found = edge.explained(error)
    if found is None:
        return
    if not edge.is_of_hdf5(error):
        stop(found)
    with contextlib.suppress(SystemExit):
        stop(found)
    os._exit(found.exit_code)
