"""What the report says in words: its first line, the figures' captions and the notes, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tfunc.kinds import KINDS
from tfunc.reporting import figures, forms, remarks
from tfunc.reporting.drawing import MANY
from tfunc.reporting.parts import Part
from tfunc.reporting.table1 import Row, title
from tfunc.scoring import measures
from tfunc.scoring.lesions import MATCH
from tfunc.scoring.measures import MEASURES
from tfunc.scoring.sources import Maps

PHOTOGRAPH = "overlay"  # the figure that is made of images, whose colours stay in the dark
LESIONS = (
    "Lesions over all subjects. Left and middle: as the prediction's lesions are kept from the surest on, the share of the "
    "label's lesions that are found, against false lesions a subject; the mark is all of them. A lesion is found where one "
    f"shares a voxel with it (left), or has an IoU of {MATCH:g} or more with it (middle). Right: F1 of lesions as the most "
    "uncertain ones are corrected, over the share that is not, mean over subjects."
)


def heading(rows: Sequence[Row], summary: Mapping[str, Any]) -> str:
    """How many subjects and methods, and who chose the thresholds. summary: what summary.json says, here and below."""
    number = rows[0].subjects
    split = summary.get("split", "test")
    chose = split if summary["threshold_split"] == "test" else summary["threshold_split"]
    complete = "the whole test set" if summary["complete"] else f"{split} set" if summary["dataset"] else ""
    parts = [
        f"{number} subject{'s' * (number != 1)}" + (f" ({complete})" if complete else ""),
        f"{len(rows)} method{'s' * (len(rows) != 1)}",
        f"thresholds chosen on the {chose} set",
    ]
    return escape(" · ".join(parts))


def reasons(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """What each subject of Figure 1 is, where they were chosen by rule; else nothing."""
    return () if summary["settings"]["figure_subjects"] else figures.EXAMPLES


def pictures(images: Mapping[str, str], summary: Mapping[str, Any]) -> str:
    """The figures with their captions. images: {stem: data URL}."""
    every, parts = captions(summary), []
    for stem, url in images.items():
        caption = escape(every.get(stem, stem))
        picture = f'<div class="wide" tabindex="0"><img src="{url}" alt="{escape(stem)}"></div>'
        kind = "photograph" if stem == PHOTOGRAPH else "drawn"
        parts.append(f'<figure class="{kind}">{picture}<figcaption>{caption}</figcaption></figure>')
    return "\n".join(parts)


def notes(summary: Mapping[str, Any], all_maps: Sequence[Maps], parts: Sequence[Part] = ()) -> str:
    """Definitions of the columns, who chose the thresholds, special cases, what counts as uncertainty."""
    every = {m.title + m.definition: m for part in parts for m in part.rows[0].columns}
    listed = list(every.values()) or measures.table1()
    columns = "".join(f"<dt>{escape(m.title)}</dt><dd>{escape(m.sentence())}.</dd>" for m in listed)
    policy = "".join(
        f"<dt>{escape(_term(name))}</dt><dd>{escape(text)}.</dd>" for name, text in summary["policy"].items()
    )
    uncertainty = "".join(
        f"<dt>{escape(', '.join(titles))}</dt><dd>{escape(meaning)}.</dd>" for meaning, titles in _meanings(all_maps)
    )
    return (
        f"<h3>Columns</h3><dl>{columns}</dl><h3>Thresholds</h3><p>{_choice(summary)}</p>"
        f"{_of_regions(parts)}"
        f"<h3>Empty segmentations and undefined values</h3><dl>{policy}</dl>{_undefined(summary)}"
        f"<h3>What counts as uncertainty</h3><dl>{uncertainty}</dl>"
        "<h3>The viewer's numbers</h3><p>Each map is kept as its level, how many of the eleven thresholds lie strictly "
        "below the uncertainty. Dice, corrected Dice and U-E depend on nothing finer, so they are exact. The picture "
        "under the maps is for looking only: its contrast is stretched, in 64 steps; so are a probability in 24 steps and "
        "mutual information in 64. Volumes are cropped to what is not "
        "empty; what was cropped away is counted. Slices are shown with the patient's right on the left where the "
        "file's affine says which side that is.</p>"
    )


def _of_regions(parts):
    """How several classes are evaluated; nothing of two."""
    if len(parts) < 2:
        return ""
    listed = "".join(f"<dt>{escape(part.title.capitalize())}</dt><dd>{escape(part.about)}</dd>" for part in parts)
    return (
        f"<h3>Regions and the class map</h3><dl>{listed}</dl><p>A region is two classes: its probability is the sum of its "
        "classes', and it is segmented where the segmentation is one of them. A probability's uncertainty is the entropy of "
        "the region's own probability; in the class map it is that of all classes over log C. An error probability or a sigma "
        "has one map for all, which also marks errors between classes inside a region, so only the class map's table ranks "
        "it. With all regions chosen the viewer shows the class map.</p>"
    )


def _percent(share):
    return "–" if share is None else f"{100 * share:.0f} %"


def captions(summary: Mapping[str, Any]) -> dict[str, str]:
    """{stem of a figure's file: its caption}."""
    who = "; ".join(
        f"{label} {subject}" + f" ({reason})" * bool(reason)
        for (label, subject), reason in zip(
            summary["figure1_subjects"].items(), [*reasons(summary), "", "", ""], strict=False
        )
    )
    shares = summary["miscalibration"]
    regions = {f"figure1_{name}": of["title"] for name, of in summary.get("regions", {}).items()}
    regions |= {"figure1_classes": "top label of the class map"} if regions else {}
    alone = _alone(len(summary["methods"]))
    return {
        **{f"lesions_{name}": f"{of['title']}. {LESIONS}{alone}" for name, of in summary.get("regions", {}).items()},
        "lesions": LESIONS + alone,
        **{
            stem: f"Figure 1 of {name}: its voxels pooled (D), and the same subjects.{alone}"
            for stem, name in regions.items()
        },
        "figure1": f"Figure 1. Reliability diagrams of the data set, all subjects pooled (D), and of single subjects: "
        f"{who}. Above the diagonal is under-confident, below it over-confident. Below: voxels in each of the ten "
        f"bins, on a logarithmic scale.{alone}",
        "thresholds": "U-E and BnF over the eleven uncertainty thresholds, and error recall against error precision; "
        f"means over subjects.{alone}",
        "calibration": "Left: ECE of all voxels pooled against the mean of the subjects' ECE; a data set can look "
        "calibrated while its subjects are not. Right: each subject's mean signed calibration gap; "
        f"{_percent(shares['under'])} of subjects are under-confident, {_percent(shares['over'])} over-confident.",
        "overlay": "Uncertainty maps of the subjects of Figure 1, in the slice with most ground truth. All maps share "
        "the scale from 0 to 1.",
    }


def _alone(methods):
    """How the curves of many methods are drawn; nothing of few, whose figures have a legend."""
    return (
        " Each method has small panels of its own: its curve before those of the others, in grey."
        if methods > MANY
        else ""
    )


def _choice(summary):
    columns = escape(forms.with_threshold())
    if summary["threshold_split"] in ("test", summary.get("split", "test")):
        return (
            f"The thresholds of {columns} are each method's best on these very subjects, as in the paper. That "
            "favours every method a little; --threshold_split=valid chooses them on the validation set."
        )
    return f"The thresholds of {columns} are {escape(remarks.chosen_on(summary))}."


def _term(name):
    """What special cases are of: a measure's title, or the word itself."""
    return MEASURES[name].title.removesuffix(" %") if name in MEASURES else name.capitalize()


def _undefined(summary):
    found = []
    for name, method in summary["methods"].items():
        if number := max(method["undefined_ue"]):
            found.append(f"{title(name)} (up to {number} subjects at a threshold)")
    return f"<p>U-E is undefined in places for {escape('; '.join(found))}.</p>" if found else ""


def _meanings(all_maps):
    """(what the uncertainty is, titles of the methods whose it is)"""
    found: dict[str, list[str]] = {}
    for maps in all_maps:
        limits = f", {maps.sigma_range[0]:.4g} to {maps.sigma_range[1]:.4g}" if maps.sigma_range else ""
        found.setdefault(KINDS[maps.kind].scaled + limits, []).append(title(maps.method))
    return found.items()
