"""An evaluation for TensorBoard, beside its training: the table and the pictures, and each method's means as HParams' metrics.

One number a method makes no curve, so there are no charts of them: the training's curves stand first, and the means are columns
of the HParams page and one table of text.
"""

from __future__ import annotations

import io
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from data_prep.base import artefacts
from tfunc.reporting import words
from tfunc.reporting.event_file import EventFile
from tfunc.reporting.publish import Finished

NAME = "tensorboard"  # the folder, in the evaluation's
PLACE = "when evaluated"  # TensorBoard sorts by letters: behind the training's `loss` and `valid_dice`
DATASET_ECE = "dataset_ece"
TITLES = {DATASET_ECE: "ECE of all voxels pooled"}  # of what is no column of Table 1


def is_written(finished: Finished) -> bool:
    """Whether they are there, whole: a kill after an evaluation's last file may have come before them."""
    return (finished.folder / NAME).is_dir()


def write(finished: Finished) -> pathlib.Path:
    """Writes the table, the PNG pictures and a trial for each method into `<evaluation>/tensorboard`, in place of what was there.

    Each method has a folder of its own, `methods/<method>`, whose HParams are the method, the part of the evaluation's data and
    its measures' means. Of several classes each region and the class map are trials too: `methods/<method>/<region>`.
    """
    folder = finished.folder / NAME
    artefacts.remove_tree(folder)
    with artefacts.folder_aside(folder) as aside:
        with EventFile(aside) as events:
            events.columns(["method", "evaluated on"], _metrics(finished.summary))
            events.text(f"{PLACE}/Table 1", finished.markdown)
            captions = words.captions(finished.summary)
            for picture in finished.pictures:
                if picture.suffix == ".png":
                    events.image(f"{PLACE}/{picture.stem}", _on_white(picture), captions.get(picture.stem, ""))
        for part, method, found in _trials(finished.summary):
            _trial(aside, part, method, found, finished.summary)
    return folder


def _trials(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(part, empty for the first, method, what summary.json says of it)."""
    parts = {"": summary["methods"]}
    parts |= {name: of["methods"] for name, of in summary.get("regions", {}).items()}
    if "classes" in summary:
        parts["classes"] = summary["classes"]["methods"]
    for part, methods in parts.items():
        for method, found in methods.items():
            yield part, method, found


def _means(found):
    """{measure: mean over subjects} of one method, those that are defined."""
    means = {name: cell["mean"] for name, cell in found["table1"].items()}
    means[DATASET_ECE] = found["dataset_ece"]
    return {name: value for name, value in means.items() if value is not None}


def _metrics(summary):
    """{tag: title} of what the HParams page has columns for, under names for people."""
    columns = {name: of["title"].removesuffix(" %") for name, of in summary["columns"].items()}
    columns |= {n: of["title"].removesuffix(" %") for n, of in summary.get("classes", {}).get("columns", {}).items()}
    return {f"{PLACE}/{name}": title for name, title in {**columns, **TITLES}.items()}


def _trial(folder, part, method, found, summary):
    """One row of the HParams page: a method on a part of the data."""
    on = f"{summary['dataset'] or 'maps'}, {summary.get('split', 'test')}" + (f", {part}" if part else "")
    with EventFile(folder / "methods" / method / part) as events:
        events.trial({"method": found["title"], "evaluated on": on}, f"{method}/{part}")
        for name, value in _means(found).items():
            events.scalar(f"{PLACE}/{name}", value)


def _on_white(path):
    """uint8 [height, width, 3]: a picture without a ground of its own, on white, since TensorBoard keeps no transparency."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(path.read_bytes())) as image:
        picture = image.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        return np.asarray(Image.alpha_composite(ground, picture).convert("RGB"))
