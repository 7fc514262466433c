"""Names of methods come out as they are in every form of the table, whatever characters they hold."""

import csv
import io
import re
import shutil
import subprocess

import pytest

from data_prep import tables
from tfunc.reporting import forms
from tfunc.reporting.table1 import Cell, Row
from tfunc.scoring import measures

NAMES = [
    "a|b",
    "<b>σ</b>",
    "net_2",
    "_x_",
    "*y*",
    "R&D;",
    "&lt;",
    "a\\b",
    "$x^2$",
    "[z](w)",
    "Πrüf≤ΑΩ°",
    "two\nlines",
    "`c`",
    "~d~",
]


def rows():
    cells = {
        measure.name: Cell(0.5, 0.4, 0.6, 0.3 if measure.by_threshold else None, 1) for measure in measures.table1()
    }
    return [Row(name, name, True, 2, cells) for name in NAMES]


def test_markdown_cells():
    """Each name is one cell of its line, and reads as it was once backslashes and entities are undone."""
    lines = forms.markdown(rows()).splitlines()[2 : 2 + len(NAMES)]
    for line, name in zip(lines, NAMES, strict=True):
        cells = re.split(r"(?<!\\)\|", line.replace(r"\\", "\0"))
        assert len(cells) == len(measures.table1()) + 3
        shown = re.sub(r"\\(.)", r"\1", cells[1].strip()).replace("\0", "\\")
        for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
            shown = shown if name == "&lt;" and entity == "&lt;" else shown.replace(entity, character)
        assert shown == " ".join(name.split())


def test_csv_cells():
    """CSV quotes what it must."""
    found = list(csv.DictReader(io.StringIO(forms.csv_text(rows()))))
    assert [row["method"] for row in found] == NAMES


def test_latex_text():
    """What LaTeX's plain text has no sign for is a formula or a command; what it would obey is text."""
    text = forms.latex(rows())
    for expected in (
        r"a\textbar{}b",
        r"\textless{}b\textgreater{}$\sigma$",
        r"net\_2",
        r"\&lt;",
        r"a\textbackslash{}b",
    ):
        assert expected in text
    assert r"$\Pi$rüf$\le$$\mathrm{A}$$\Omega$$^\circ$" in text and "two lines" in text
    assert len(re.findall(r"\\\\$", text, re.MULTILINE)) == 1 + 2 * len(NAMES)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_compiles(tmp_path):
    """As it stands, with the packages that its first line names and the encoding of the file; no line is too wide."""
    document = "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage{booktabs,graphicx}\\begin{document}\n"
    (tmp_path / "a.tex").write_text(document + forms.latex(rows()) + "\\end{document}\n", encoding="utf-8")
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"], cwd=tmp_path, check=True)
    assert "Overfull" not in (tmp_path / "a.log").read_text(errors="replace")


def test_digits_stay():
    """A rounded number keeps its zeros, ours and the paper's, so that columns align and say how exact they are."""
    cells = {m.name: Cell(0.55, 0.4, 0.6, 0.3 if m.by_threshold else None, 1, 0.7, 2) for m in measures.table1()}
    row = Row("a", "A", True, 2, cells)
    for text in (forms.markdown([row]), forms.latex([row])):
        assert "0.550 (1)" in text and "0.700 (2)" in text and "55.000 (1)" in text
        assert not re.search(r"\b0\.\d\b|\b0\.55 \(1\)[^\n]*0\.55 \(1\)[^\n]*0\.55 \(1\)", text)


def test_latex_says_what_it_takes():
    """Rules of booktabs, a label of plain letters, and a box that is never wider than the text."""
    text = forms.latex(rows(), "", "tab:table1_größe 2")
    assert text.startswith("% \\usepackage{booktabs,graphicx}\n") and r"\label{tab:table1-gr--e-2}" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1 and r"\hline" not in text
    assert text.index(r"\resizebox{\ifdim\width>\linewidth") < text.index(r"\begin{tabular}")
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


FORMULAS = ["=HYPERLINK(1)", "+1+2", "-x", "@SUM(A1)", "\tx", "\rx"]


def test_no_cell_is_a_formula(tmp_path):
    """Text that a spreadsheet would run stands behind an apostrophe, numbers do not, and our reader finds the names again."""
    numbers = [-1, "-0.5", "-1e-05", forms.number(-2.5), "-inf", "", None, "a=b", "'x"]
    text = forms.rows_text([FORMULAS, numbers])
    first, second = list(csv.reader(io.StringIO(text, newline="")))
    assert first == [f"'{cell}".replace("\r", "\n") for cell in FORMULAS]
    assert second == ["-1", "-0.5", "-1e-05", "-2.5", "-inf", "", "", "a=b", "'x"]
    path = tmp_path / "subjects.csv"
    path.write_bytes(text.encode())
    assert [cells for _, cells in tables.rows(path)] == [[cell.strip() for cell in FORMULAS], second]
