"""The companions of Dice as a table of the report, below Table 1, closed until it is asked for; HTML, without a script."""

from __future__ import annotations

import math
from html import escape

from tfunc.reporting.forms import ARROWS
from tfunc.reporting.parts import Part
from tfunc.reporting.table1 import title
from tfunc.scoring import findings
from tfunc.scoring.companions import COMPANIONS, Companion


def table(part: Part) -> str:
    """Means over subjects with 95 % intervals, a row a method; empty where there are none, as of a class map."""
    if not part.evaluated.findings:
        return ""
    shown = [row for row in COMPANIONS.values() if row.has_mean]
    head = "".join(
        f'<th scope="col">{escape(f"{row.title} {ARROWS.get(row.direction, str())}".strip())}</th>' for row in shown
    )
    body, penalties = [], []
    for method, found in part.evaluated.findings.items():
        means = findings.companion_means(found)
        cells = "".join(f"<td>{_cell(row, *means[row.name])}</td>" for row in shown)
        body.append(f'<tr><th scope="row">{escape(title(method))}</th>{cells}</tr>')
        if count := sum(one.has_penalty for one in found.values()):
            penalties.append(f"{title(method)} {count}")
    meanings = "".join(f"<dt>{escape(row.title)}</dt><dd>{escape(row.definition)}.</dd>" for row in shown)
    label = escape(f"Companions of Dice, {part.title}".removesuffix(", "), quote=True)
    return (
        "<details><summary>Companions of Dice: distances, volumes, lesions, QU-BraTS</summary>"
        f'<div class="wide" tabindex="0" role="region" aria-label="{label}"><table><thead><tr><th scope="col">Method</th>{head}'
        f"</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
        f"{_penalty(penalties)}<dl>{meanings}</dl></details>"
    )


def _cell(row: Companion, mean: float, low: float, high: float) -> str:
    if math.isnan(mean):
        return "–"
    return f'{mean:.{row.digits}f}<span class="small">{low:.{row.digits}f} – {high:.{row.digits}f}</span>'


def _penalty(found):
    """Of whom a distance is no distance; nothing where there is nobody."""
    if not found:
        return ""
    who = escape(", ".join(found))
    what = "Subjects of which either segmentation or label is empty, so that HD95 is the diagonal of the image"
    return f'<p class="key">{what}: {who}.</p>'
