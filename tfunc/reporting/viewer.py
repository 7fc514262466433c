"""Subjects' voxels for the report's viewer: cropped, quantised to what the metrics see, and packed into few bytes.

A map is kept as its level, how many of the eleven thresholds its uncertainty exceeds, beside the segmentation's bit.
That is all that the corrections and U-E depend on, so numbers counted from it are those of subjects.csv. What is only looked at,
the image and `coarse_maps`, is coarser than the files, and the page says how coarse.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.base.errors import UserError
from tfunc.kinds import KINDS
from tfunc.reporting import class_voxels, coarse_maps, pictures, planes
from tfunc.scoring import counts, statistics
from tfunc.scoring.evaluate import Evaluated
from tfunc.scoring.statistics import Scores
from tfunc.scoring.truth import AnyTruth

MOST_BYTES = 24_000_000  # of a report: four subjects of BraTS with eight methods; a browser opens it in a second
MARGIN = 8  # voxels around what is segmented, where there is no image to crop by
FOREGROUND = 16  # added to a voxel's level where the segmentation is foreground
IGNORED = FOREGROUND - 1  # the code of a voxel that counts nowhere: a level beyond all thresholds
ACROSS = (
    2 * FOREGROUND
)  # added where a probability is on the other side of a half than the segmentation; most often nowhere
GREYS = 64  # finer steps would be noise to the eye, but cost a quarter more bytes


@dataclasses.dataclass(frozen=True)
class Packed:
    """One subject in the report.

    entry: what JavaScript needs to know; plain JSON, see `pack`.
    arrays: {"image" | "truth" | "map-<index of the method>": text}, base64 of gzip of uint8 in C order. The image is
        [depth, height, width] grey or with 3 channels; truth is 0 or 1; a map is its level + FOREGROUND x segmentation + ACROSS
        where that is not the probability above a half, or IGNORED. Of several classes truth and "seg-<method>" are the class,
        and maps are levels, of each region behind it. Beside them what `coarse_maps` has.
    """

    entry: dict[str, Any]
    arrays: dict[str, str]

    @property
    def size(self) -> int:
        """Bytes of text."""
        return sum(map(len, self.arrays.values()))


def choose(scores: Mapping[str, Scores], examples: Mapping[str, str], reasons: Sequence[str] = ()) -> dict[str, str]:
    """{subject: why it is shown} of all, the most wanted first.

    scores: {method: Scores}.  examples: {"S1": subject, ...} of Figure 1, and `reasons`, what each is. Then the lowest,
    highest and median Dice, averaged over methods, then the rest from the lowest Dice up.
    """
    why: dict[str, str] = {}
    reasons = [*reasons, *[""] * len(examples)]
    for (label, subject), reason in zip(examples.items(), reasons, strict=False):
        why[subject] = ", ".join(filter(None, (label, reason)))
    subjects = next(iter(scores.values())).subjects
    order = np.argsort(statistics.mean(np.stack([found["dice"] for found in scores.values()])), kind="stable")
    ranked = [subjects[index] for index in order]
    for subject, reason in (
        (ranked[0], "lowest Dice"),
        (ranked[-1], "highest Dice"),
        (ranked[len(ranked) // 2], "median Dice"),
    ):
        why[subject] = ", ".join(filter(None, (why.get(subject), reason))) if len(ranked) > 2 else why.get(subject, "")
    for subject in ranked:
        why.setdefault(subject, "")
    return why


def pack_all(
    evaluated: Evaluated, truth: AnyTruth, chosen: Mapping[str, str], most_bytes: int = MOST_BYTES
) -> Iterator[Packed]:
    """Yields the subjects of `chosen` ({name: why}), in its order, as many as fit into `most_bytes`."""
    room = most_bytes
    for name, why in chosen.items():
        subject = pack(evaluated, truth, name, why)
        room -= subject.size
        if room < 0:
            return
        yield subject


def pack(evaluated: Evaluated, truth: AnyTruth, name: str, why: str = "") -> Packed:
    """One subject with all methods' maps, and its image where the truth comes from records.

    `entry`: name and why; shape of the crop; first (its first slice) and depth (of the whole volume); start, the slice
    with most ground truth, and centre, [row, column] in the middle of it there; focus [first, end] of each axis around all that
    is segmented; planes, see `planes.planes`, one of a photograph; voxel, mm^3, where known; file: [origin, step] of each axis,
    that make of a place in the crop the file's index; channels of the image, 0 without; grey: {low, high, step, unit} that 0
    and 255 stand for in the file, None of colours; outside: {view: 48 counts [level, segmentation, truth] of the voxels that were
    cropped away}, a view being the index of the method, and of several classes of the region behind it, see `class_voxels`.

    Raises `UserError` where the maps are no longer those that were evaluated.
    """
    found = truth.read(name)
    target = found.label != 0
    read = _read if evaluated.task is None else _read_classes
    whole, outlined, cut = read(evaluated, name, found)
    subject = truth.subject(name)
    box = _box(outlined, subject, truth.task)
    turned = planes.orientation(None if target.shape[0] == 1 else found.space.affine)

    def cropped(array):
        return np.ascontiguousarray(array[box][:, :: turned.steps[0], :: turned.steps[1]])

    arrays = {part: cropped(array) for part, array in whole.items()}
    entry: dict[str, Any] = {"channels": 0, "grey": None}
    if subject is not None:
        image = pictures.shown_channels(subject.image, truth.task)
        arrays["image"] = cropped(image if image.ndim == 4 else _grey(image, truth.task))
        entry = {"channels": 3, "grey": None} if image.ndim == 4 else {"channels": 1, "grey": _scale(image, truth.task)}
    most = arrays["truth"] != 0 if target.any() else cropped(outlined)
    start = int(np.argmax(most.sum(axis=(1, 2))))
    entry |= {
        "name": name,
        "why": why,
        "shape": most.shape,
        "first": box[0].start,
        "depth": target.shape[0],
        "start": start,
        "centre": _centre(most[start]),
        "focus": _focus(cropped(outlined)),
        "planes": planes.planes(turned)[: 3 if target.shape[0] > 1 else 1],
        "voxel": turned.voxel,
        "file": _places(box, (1, *turned.steps)),
        "outside": cut(box),
    }
    return Packed(entry, {key: base64.b64encode(gzip.compress(a, 9, mtime=0)).decode() for key, a in arrays.items()})


def _read(evaluated, name, truth):
    """({name: array of the page}, what is outlined, box -> `outside`) of a subject of two classes."""
    target = truth.label != 0
    codes = [_codes(maps, name, truth) for maps in evaluated.maps]
    tables = [_histogram(code, target) for code in codes]
    for maps, table in zip(evaluated.maps, tables, strict=True):
        _require_same(maps, name, table, evaluated.counts[maps.method][name])

    def cut(box):
        return [
            (table - _histogram(code[box], target[box])).tolist() for table, code in zip(tables, codes, strict=True)
        ]

    arrays = {"truth": target.astype(np.uint8)} | {f"map-{index}": code for index, code in enumerate(codes)}
    arrays |= _coarse(evaluated, name, truth)
    return arrays, np.logical_or.reduce([target, *(code >= FOREGROUND for code in codes)]), cut


def _read_classes(evaluated, name, truth):
    """The same of several classes, whose arrays hold the index of the class."""
    methods = class_voxels.read(evaluated, name, truth, IGNORED, ACROSS, _require_same)

    def cut(box):
        return {
            class_voxels.key("", of.index, view): (of.histogram(view) - of.histogram(view, box)).tolist()
            for of in methods
            for view in of.layers.views
        }

    arrays = {"truth": truth.label.astype(np.uint8)}
    for method in methods:
        arrays |= method.arrays()
    arrays |= _coarse(evaluated, name, truth)
    outlined = np.logical_or.reduce([truth.label != 0, *(of.layers.voxels.prediction != 0 for of in methods)])
    return arrays, outlined, cut


def _coarse(evaluated, name, truth):
    every = (coarse_maps.arrays(maps, index, name, truth, evaluated.task) for index, maps in enumerate(evaluated.maps))
    return {key: array for found in every for key, array in found.items()}


def unpack(text: str) -> NDArray[np.uint8]:
    """The uint8 values, flat, behind one text of `Packed.arrays`."""
    return np.frombuffer(gzip.decompress(base64.b64decode(text)), np.uint8)


def _codes(maps, name, truth):
    score, prediction = maps.read(name, truth)
    score = truth.evened(score)
    kind = KINDS[maps.kind]
    level = counts.levels(kind.uncertainty_map(score, kind.limits(score, maps.sigma_range)))
    code = level.astype(np.uint8) + np.uint8(FOREGROUND) * (prediction != 0)
    if kind.segments:
        code += np.uint8(ACROSS) * ((score > 0.5) != (prediction != 0))
    return code if truth.counted is None else np.where(truth.counted, code, np.uint8(IGNORED))


def _histogram(code, target):
    """int64 [48]: voxels by level, segmentation, truth, as `Counts.uncertainty` without its mask; ignored ones left out."""
    level, prediction = code & (FOREGROUND - 1), code // FOREGROUND & 1
    cells = np.bincount((level * np.uint8(4) + prediction * np.uint8(2) + target).ravel(), minlength=FOREGROUND * 4)
    return cells[: counts.LEVELS * 4]


def _require_same(maps, name, whole, counted):
    if (whole != counted.uncertainty.sum(axis=1).ravel()).any():
        found = "others: they were written anew meanwhile"
        raise UserError(maps.path(name), expected="the maps just evaluated", found=found, do="evaluate again")


def _box(outlined, subject, task):
    """Slices of what is worth showing: the image's and the segmentations' bounding box; all of a photograph."""
    if subject is not None and subject.is_photograph:
        return np.s_[0:1, :, :]
    used, margin = outlined, MARGIN
    if subject is not None:
        used, margin = used | pictures.filled(subject.image, task), 0
    if not used.any():
        margin, used = 0, np.ones_like(used)
    box = []
    for axis in range(3):
        used_at = np.flatnonzero(used.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(max(int(used_at[0]) - margin, 0), min(int(used_at[-1]) + 1 + margin, used.shape[axis])))
    return tuple(box)


def _focus(outlined, share=0.3):
    """[first, end] of all that is segmented along each axis, with a margin, as much as the picture allows."""
    bounds = []
    for axis, size in enumerate(outlined.shape):
        used_at = np.flatnonzero(outlined.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = (int(used_at[0]), int(used_at[-1]) + 1) if used_at.size else (0, size)
        margin = max(4, round(share * (last - first)))
        bounds.append([max(first - margin, 0), min(last + margin, size)])
    return bounds


def _centre(inside):
    """[row, column] of the voxel of a slice's target that is nearest to the middle of all; the slice's own middle without one."""
    at = np.argwhere(inside)
    if not len(at):
        return [size // 2 for size in inside.shape]
    return at[np.argmin(((at - at.mean(axis=0)) ** 2).sum(axis=1))].tolist()


def _places(box, steps):
    """[origin, step] of each axis: the index in the file of the crop's first element, and of the next one less that."""
    return [[one.start if step > 0 else one.stop - 1, step] for one, step in zip(box, steps, strict=True)]


def _grey(image, task):
    """uint8, the contrast stretched, in `GREYS` steps."""
    steps = GREYS - 1
    return ((pictures.windowed(image, task) * steps).round() * (255 / steps)).round().astype(np.uint8)


def _scale(image, task):
    """What the grey values stand for in the file; CT is in Hounsfield units, of others nobody knows the unit."""
    low, high = (float(limit) for limit in pictures.limits(image, task))
    unit = "HU" if task is not None and task.channels[task.index(task.show[0])].normalise == "ct" else ""
    return {"low": low, "high": high, "step": (high - low) / (GREYS - 1), "unit": unit}
