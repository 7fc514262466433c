"""The table of what programs say in trouble: its rows are made by the tests, and docs/reference/reliability.md holds them.

TFUNC_WRITE_TOLD=1 writes the rows that the tests meet into the document; without it a row that differs fails its test.
"""

import os
import re

from conftest import ROOT

DOCUMENT = ROOT / "docs" / "reference" / "reliability.md"
BEGIN, END = "<!-- made by the tests: tests/told.py -->", "<!-- end of what the tests make -->"
HEAD = ("| trouble | program | exit code | the line |", "| --- | --- | --- | --- |")


def line_of(ended):
    """The one line of an error, which follows progress and, from a fork of the tests, TensorFlow's chatter."""
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and ended.err.splitlines()[-1] == lines[0], ended.err
    assert "Traceback" not in ended.err
    return lines[0]


def general(line, *places):
    """The line with other paths, numbers and hosts than this machine's, and the first patient where two programs met at one."""
    for place in sorted(map(str, places), key=len, reverse=True):
        line = line.replace(place, "…")
    line = re.sub(r"process \d+ on [\w.-]+?(?=[;,]|$)", "process 1234 on host", line)
    line = re.sub(r"Phantom18_\d+_1(?=: expected maps that nobody else writes)", "Phantom18_000_1", line)
    return re.sub(r"\d+(\.\d+)? MB", "… MB", line)


def check(trouble, program, ended, *places):
    """The document has this row. places: paths that are `…` there."""
    row = f"| {trouble} | {program} | {ended.code} | `{general(line_of(ended), *places)}` |"
    rows = _rows()
    key = f"| {trouble} | {program} |"
    if os.environ.get("TFUNC_WRITE_TOLD"):
        _write([one for one in rows if not one.startswith(key)] + [row])
        return
    assert row in rows, f"{DOCUMENT.name} has another row; TFUNC_WRITE_TOLD=1 writes: {row}"


def _rows():
    text = DOCUMENT.read_text(encoding="utf-8")
    between = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    return [line for line in between.splitlines() if line.startswith("| ")][len(HEAD) :]


def _write(rows):
    text = DOCUMENT.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    DOCUMENT.write_text("\n".join([before, "", *HEAD, *sorted(rows), "", after]), encoding="utf-8")
