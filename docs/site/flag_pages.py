"""Every flag of every program, as the programs themselves say it: `--helpxml`, which needs no TensorFlow."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

HEAD = """# Every flag

This page is made from the programs when the site is built, so it cannot fall behind them. `python launch/train.py --helpshort`,
or `tfunc train --helpshort` where the package is installed, prints the same. A flag is given as `--name=value`; one that is true
or false also as `--name` and `--noname`.

"""
KINDS = {"comma separated list of strings": "a list with commas", "bool": "true or false", "int": "a whole number"}


def programs(root: pathlib.Path) -> list[str]:
    """The names of the programs in launch/."""
    files = sorted((root / "launch").glob("*.py"))
    return [path.stem for path in files if "program.run(main)" in path.read_text(encoding="utf-8")]


def page(root: pathlib.Path) -> str:
    """The whole page in Markdown."""
    names = programs(root)
    with ThreadPoolExecutor(4) as pool:  # each is a process that imports for a second
        said = list(pool.map(lambda name: _said(root, name), names))
    return HEAD + "\n".join(_section(name, ElementTree.fromstring(xml)) for name, xml in zip(names, said, strict=True))


def _said(root: pathlib.Path, name: str) -> str:
    command = [sys.executable, str(root / "launch" / f"{name}.py"), "--helpxml"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout


def _section(name: str, said: ElementTree.Element) -> str:
    usage = textwrap.dedent(said.findtext("usage", "")).strip()
    lines = [f"## {name}", "", f"```text\n{usage}\n```", ""]
    rows = [flag for flag in said.iter("flag") if flag.findtext("key") == "yes" and _is_ours(flag)]
    lines += ["| flag | default | what it may be | meaning |", "| --- | --- | --- | --- |"]
    lines += [_row(flag) for flag in sorted(rows, key=lambda flag: flag.findtext("name", ""))]
    return "\n".join(lines) + "\n"


def _is_ours(flag: ElementTree.Element) -> bool:
    return not flag.findtext("file", "").startswith("absl")


def _row(flag: ElementTree.Element) -> str:
    name, default = flag.findtext("name", ""), flag.findtext("default", "")
    words = [f"`{word.text}`" for word in flag.iter("enum_value")]
    kind = flag.findtext("type", "")
    low, high = flag.findtext("lower_bound"), flag.findtext("upper_bound")
    allowed = ", ".join(words) or KINDS.get(kind, kind) + (f", from {low}" if low else "") + (
        f" to {high}" if high else ""
    )
    meaning = " ".join(flag.findtext("meaning", "").split())
    if words:  # absl says them in front of the meaning, too
        meaning = meaning.partition(">: ")[2] or meaning
    cells = [f"`--{name}`", f"`{default}`" if default not in ("", "None") else "", allowed, meaning]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"
