"""Writes the tables and curves of docs/reference/performance.md from the files of benchmarks/results.

    python benchmarks/performance.py        or        make performance

Between two markers of the document, `<!-- begin: peers -->` and `<!-- end: peers -->`, stands what the files of that name say;
all else in it is written by hand and stays. Curves are docs/images/performance-<machine>.png.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import measured

from data_prep.base import artefacts
from data_prep.base.errors import UserError

DOCUMENT = "reference/performance.md"


def machine_of(found):
    """Where it ran, in words."""
    instructions = ", ".join(found.processor.instructions) or "no AVX2"
    versions = ", ".join(f"{package} {version}" for package, version in found.versions.items())
    return f"{found.processor.name} ({instructions}), {found.cores} cores; {versions}."


def table(rows):
    """Markdown of rows, each {column: value}; the columns are all that any row has, in the order they come."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, ["---"] * len(columns), *([shown(row.get(column)) for column in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def shown(value):
    """A cell."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def claims(found):
    """Markdown of the claims; each says whether it holds."""
    rows = [
        {"claim": c.claim, "value": c.value, "limit": c.limit, "holds": "yes" if c.holds else "**no**"}
        for c in found.claims
    ]
    return table(rows) if rows else ""


def draw(series):
    """A panel a curve, both axes from 0: what is linear looks so."""
    from matplotlib.figure import Figure

    wide = min(3, len(series))
    high = math.ceil(len(series) / wide)
    figure = Figure(figsize=(3.2 * wide, 2.5 * high), layout="constrained")
    panels = list(figure.subplots(high, wide, squeeze=False).flat)
    for axes, one in zip(panels, series, strict=False):
        x, y = zip(*one.points, strict=True)
        axes.plot(x, y, marker="o", markersize=3)
        axes.set_title(one.title, fontsize=8)
        axes.set_xlabel(one.x, fontsize=8)
        axes.set_ylabel(one.y, fontsize=8)
        axes.set(xlim=(0, None), ylim=(0, 1.15 * max(y)))
        axes.tick_params(labelsize=7)
    for axes in panels[len(series) :]:
        axes.set_axis_off()
    return figure


def section(path, found, images):
    """Markdown of one file; its curves are drawn into `images`."""
    from tfunc.reporting import drawing

    parts = [f"**{path.name}**: {machine_of(found)}", claims(found)]
    if found.series:
        name = f"performance-{path.stem}"
        drawing.save(images, name, draw, found.series, endings=("png",))
        parts.append(f"![Time and memory against what is asked for](../images/{name}.png)")
    # rows of one form are one table
    forms = dict.fromkeys(tuple(row) for row in found.rows)
    parts += [table([row for row in found.rows if tuple(row) == form]) for form in forms]
    return "\n\n".join(part for part in parts if part)


def filled(text, name, content):
    """The document with `content` between the markers of that name; raises `UserError` where they are not there."""
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise UserError(DOCUMENT, expected=f"{begin} and {end}", found="neither")
    return pattern.sub(lambda _: f"{begin}\n\n{content}\n\n{end}", text)


def write(results, docs):
    """Rewrites the marked parts of the document. results: folder of files. docs: the folder of documents."""
    results, docs = pathlib.Path(results), pathlib.Path(docs)
    sections: dict[str, list[str]] = {}
    for path in sorted(results.glob("*.json")):
        found = measured.read(path)
        sections.setdefault(found.name, []).append(section(path, found, docs / "images"))
    text = (docs / DOCUMENT).read_text(encoding="utf-8")
    for name, parts in sections.items():
        text = filled(text, name, "\n\n".join(parts))
    artefacts.write_text(docs / DOCUMENT, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default=str(ROOT / "benchmarks" / "results"))
    parser.add_argument("--docs", default=str(ROOT / "docs"))
    flags = parser.parse_args()
    write(flags.results, flags.docs)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
