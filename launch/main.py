"""One command for all programs: `tfunc train --method=aleatoric` is `python launch/train.py --method=aleatoric`.

tfunc                     # lists the programs
tfunc train --helpshort   # what one does, and its flags
tfunc --version
tfunc completion bash     # a script with which the shell completes programs, flags and choices; zsh and fish likewise

`python -m tfunc` is the same.
"""

from __future__ import annotations

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # runs from a checkout, installed or not

from launch import early

early.settle(
    "__main__" if pathlib.Path(sys.argv[0]).stem == "tfunc" else __name__
)  # the installed command imports this

import ast
import difflib
import runpy

from data_prep.base.errors import UserError
from launch import completion, program
from tfunc import __version__

PROGRAMS = (
    "demo",
    "phantom",
    "prepare",
    "check",
    "train",
    "predict",
    "evaluate",
    "recalibrate",
    "study",
    "export",
    "request",
)


def main() -> None:
    """Runs the program that the first argument names, as if its file had been started."""
    program.started_as = "tfunc"
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h", "help", "--helpshort"):
        program.show(usage())
        sys.exit(0)
    if name in ("--version", "version"):
        program.show(f"tfunc {__version__}")
        sys.exit(0)
    if name == "completion":
        try:
            program.show(completion.script(PROGRAMS, arguments))
        except UserError as error:
            program.stop(error)
        sys.exit(0)
    if name not in PROGRAMS:
        close = difflib.get_close_matches(name, PROGRAMS, 1)
        do = f"did you mean {close[0]}?" if close else "see `tfunc --help`"
        program.stop(UserError(f"tfunc {name}", expected=f"one of {', '.join(PROGRAMS)}", do=do))
    path = str(HERE / f"{name}.py")
    sys.argv = [path, *arguments]
    runpy.run_path(path, run_name="__main__")


def usage() -> str:
    """The programs, each with the first line of its docstring, which is read without importing it."""
    lines = ["usage: tfunc <program> [--flag=value …]; `tfunc <program> --helpshort` lists its flags", ""]
    for name in PROGRAMS:
        said = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8")))
        lines.append(f"  {name:11} {(said or '').splitlines()[0]}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
