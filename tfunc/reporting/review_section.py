"""The report's first section, whom to review first, and the one on which score finds the failures; as HTML, without a script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import urlencode

import numpy as np

from data_prep.base.streams import text_of
from data_prep.tasks import Task
from tfunc.reporting import by_part
from tfunc.reporting.parts import Part
from tfunc.reporting.table1 import title
from tfunc.reporting.templates import fixed
from tfunc.scoring import failure
from tfunc.scoring.aggregate import AGGREGATORS
from tfunc.scoring.failure import COMBINATION, Detection
from tfunc.scoring.patients import Patients
from tfunc.scoring.review import ALPHA, Chosen, Reviewed

HEADINGS = "Whom to review first", "Can the score rank patients?"
PICTURED = {  # figures that stand in these sections, and what they show
    "review": "mean Dice of what is left unreviewed, against the share that was reviewed",
    "failures": "share of the way to the best order by method and score, and risk against coverage",
}
FIRST = 40  # subjects of the list that is shown first; of others fewer, all are in review.csv
OTHERS = 15
PICTURES = 12  # of the first list


def sections(
    parts: Sequence[Part],
    patients: Sequence[Patients | None],
    images: Mapping[str, str],
    small: Mapping[str, str],
    inline: Sequence[str],
    task: Task | None,
) -> dict[str, str]:
    """`review` and `failures`, the two sections, and `review_link` that leads to them; all empty where there is no list.

    patients: of each part, None of those without subjects' scores.  images: {stem: data URL} of figures.  small: {subject: data
    URL} for the first list.  inline: subjects that the viewer has.  task: says whether volumes are pixels.
    """
    if not any(patients):
        return {"review_link": "", "review": "", "failures": ""}
    unit = "pixels" if task is not None and task.is_photograph else "ml"
    choice = f'<div class="controls scripted">{by_part.choice(parts)}</div>' if len(parts) > 1 else ""
    reviews, tables = [], []
    for part, one in zip(parts, patients, strict=True):
        none = ['<p class="key">Of the class map there is none: choose a region, or their mean.</p>']
        reviews.append((part, [lists(part, one, small if part is parts[0] else {}, inline, unit)] if one else none))
        tables.append((part, [failures(one)] if one else none))
    lead = '<a href="#review">Whom to review first</a> <a href="#failures">Ranking</a> '
    found = {"review": (HEADINGS[0], reviews), "failures": (HEADINGS[1], tables)}
    texts = {
        name: _section(name, heading, choice + by_part.of_each(contents), images)
        for name, (heading, contents) in found.items()
    }
    return {"review_link": lead, **texts}


def _section(name, heading, content, images):
    picture = (
        f'<figure class="drawn"><img src="{images[name]}" alt="{PICTURED[name]}"></figure>' if name in images else ""
    )
    return f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{heading}</h2>{content}{picture}</section>'


def lists(part: Part, patients: Patients, pictures: Mapping[str, str], inline: Sequence[str], unit: str) -> str:
    """The lists of a part, the first method's open. pictures: {subject: data URL} of the first list. inline: subjects that the
    viewer has. unit: of volumes."""
    order = [patients.first, *(name for name in patients.reviews if name != patients.first)]
    found = []
    for index, method in enumerate(order):
        count = OTHERS if index else FIRST
        body = _backwards(patients, method) + _list(method, patients, {} if index else pictures, inline, unit, count)
        chosen = patients.chosen.get(method)
        by = failure.title(patients.reviews[method][0].score)
        found.append(
            f"<details{' open' * (index == 0)}><summary>{escape(title(method))} <span class='small inline'>by "
            f"{escape(by)}</span></summary><p class='key'>{_how(chosen)}</p>{body}</details>"
        )
    return "".join(found)


def _backwards(patients, method):
    """The warning where the score that ranks is higher for the better segmentations of these very subjects."""
    used = {one.score for one in patients.reviews[method]}
    for one in patients.of(method):
        if one.score in used and one.values["spearman"] < 0:
            number = fixed(one.values["spearman"], 2)
            return (
                f'<p class="warning">This score ranks these subjects <strong>backwards</strong> (rank correlation with 1 - Dice '
                f"{number}): the better segmentations stand first. Do not use the list.</p>"
            )
    return ""


def _how(chosen: Chosen | None) -> str:
    """How the order and the predicted Dice came about, and what may be expected of them."""
    if chosen is None:
        return (
            "There is no set of other subjects that the score could be chosen on, so the mean uncertainty in the segmentation "
            "ranks, and no Dice is predicted. For a run, predict the validation set: <code>predict --split=valid</code>."
        )
    what = "a combination of scores" if chosen.score == COMBINATION else AGGREGATORS[chosen.score].definition
    closed = float(
        failure.closed(np.asarray(chosen.aurc[chosen.score]), np.asarray(chosen.random), np.asarray(chosen.oracle))
    )
    on = f"{chosen.subjects} validation subjects"
    held = (
        "the interval holds everything: these are too few"
        if math.isinf(chosen.dice_width)
        else (f"the intervals held {100 * (1 - ALPHA):.0f} % of them, each predicted without itself")
    )
    far = "" if math.isnan(closed) else f", where it closed {100 * closed:.0f} % of the way from no order to the best"
    return (
        f"Ordered by {escape(what)}: chosen on {on}{far}. The predicted Dice is a line through them, and {held}. Approximate: "
        "the networks' epochs were chosen on the same subjects. It holds for patients like them, on average."
    )


def _list(method, patients, pictures, inline, unit, count):
    listed = patients.reviews[method]
    head = ["", "Subject", "Predicted Dice", "Score", f"Volume, {unit}", "Dice"]
    if pictures:
        head.insert(1, "Worst slice")
    rows = "".join(_row(one, method, pictures, inline) for one in listed[:count])
    left = len(listed) - count
    more = f"<p class='key'>{left} more in review.csv.</p>" if left > 0 else ""
    cells = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    label = escape(f"Whom to review first by {title(method)}", quote=True)
    return (
        f'<div class="wide tall" tabindex="0" role="region" aria-label="{label}"><table class="review"><thead><tr>{cells}'
        f"</tr></thead><tbody>{rows}</tbody></table></div>{more}"
    )


def _row(one: Reviewed, method: str, pictures: Mapping[str, str], inline: Sequence[str]) -> str:
    plain = text_of(one.subject)
    name = escape(plain)
    if plain in inline:
        target = escape(urlencode({"method": text_of(method), "subject": plain}), quote=True)
        name = f'<a href="#{target}">{name}</a>'
    cells = [f"<td>{one.rank}</td>"]
    if pictures:
        url = pictures.get(one.subject)
        picture = f'<img src="{url}" alt="worst slice of {escape(plain, quote=True)}">' if url else ""
        cells.append(f"<td>{picture}</td>")
    cells.append(f'<th scope="row">{name}</th>')
    predicted = "–" if math.isnan(one.predicted) else f"{one.predicted:.2f}{_range(one.low, one.high, 2)}"
    cells.append(f"<td>{predicted}</td><td>{one.value:.3f}</td>")
    digits = 0 if one.volume >= 100 else 1
    volume = (
        "–" if math.isnan(one.volume) else f"{one.volume:,.{digits}f}{_range(one.volume_low, one.volume_high, digits)}"
    )
    cells.append(f"<td>{volume}</td><td>{one.dice:.3f}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _range(low, high, digits):
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f' <span class="small inline">{low:,.{digits}f} – {high:,.{digits}f}</span>'


def failures(patients: Patients) -> str:
    """The table of scores by methods, the share of the way closed with its interval, the best of each method in bold; its key."""
    methods = list(patients.reviews)
    scores = list(dict.fromkeys(one.score for one in patients.detections))
    by = {(one.method, one.score): one for one in patients.detections}
    best = {method: failure.best(patients.of(method)) for method in methods}
    head = "".join(f'<th scope="col">{escape(title(method))}</th>' for method in methods)
    body = []
    for score in scores:
        cells = "".join(_share(by.get((method, score)), best[method], patients) for method in methods)
        meaning = (
            AGGREGATORS[score].definition
            if score in AGGREGATORS
            else "ridge regression, fitted on the validation subjects"
        )
        row = f'{escape(failure.title(score))}<span class="small">{escape(meaning)}</span>'
        body.append(f'<tr><th scope="row">{row}</th>{cells}</tr>')
    bounds = "".join(f"<td>{_bounds(best[method])}</td>" for method in methods)
    body.append(f'<tr class="first-later"><th scope="row">AURC of no order, of the best</th>{bounds}</tr>')
    table = f'<table><thead><tr><th scope="col">Score</th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    label = escape(HEADINGS[1], quote=True)
    wide = f'<div class="wide" tabindex="0" role="region" aria-label="{label}">{table}</div>'
    return f'{wide}<p class="key">{failures_key(patients)}</p>'


def _share(one: Detection | None, best: Detection | None, patients: Patients) -> str:
    if one is None:
        return "<td>–</td>"
    share = one.values["closed"]
    if math.isnan(share):
        return "<td>–</td>"
    text = f"{fixed(100 * share, 0)} %"
    text = f"<strong>{text}</strong>" if best is not None and one.score == best.score else text
    low, high = 100 * one.low["closed"], 100 * one.high["closed"]
    chosen = patients.chosen.get(one.method)
    notes = [f"{fixed(low, 0)} to {fixed(high, 0)}", f"AURC {one.values['aurc']:.3f}"]
    notes += ["chosen on validation"] if chosen is not None and chosen.score == one.score else []
    against = one.values["spearman"] < 0
    notes += [f"ranks backwards, correlation {fixed(one.values['spearman'], 2)}"] if against or one.backwards else []
    kind = ' class="backwards"' if against or one.backwards else ""
    return f"<td{kind}>{text}" + "".join(f'<span class="small">{note}</span>' for note in notes) + "</td>"


def _bounds(one: Detection | None) -> str:
    return "–" if one is None else f"{one.values['random']:.3f}, {one.values['oracle']:.3f}"


def failures_key(patients: Patients) -> str:
    """What the table says, and how failures are counted."""
    count = len(next(iter(patients.reviews.values())))
    return (
        f"Risk is 1 - Dice over {count} subjects; a Dice below {patients.threshold:g} has failed. 0 % is no order, 100 % the "
        "best order of these subjects, below 0 a score that ranks backwards; with 95 % bootstrap intervals. The best of each "
        "method is known only afterwards; what was chosen on validation is marked. AUGRC, AUROC, correlation: failures.csv."
    )
