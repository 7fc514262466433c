"""Subjects' voxels for the report's viewer: cropped, quantised to what the metrics see, and packed into few bytes.

A map is kept as its level, how many of the eleven thresholds its uncertainty exceeds, beside the segmentation's bit.
That is all that the corrections and U-E depend on, so numbers counted from it are those of subjects.csv.
"""

import base64
import dataclasses
import gzip

import nibabel
import numpy as np

from data_prep.base.errors import UserError
from tfunc.scoring import metrics
from tfunc.scoring import statistics as tables

MOST_SUBJECTS = 12
MOST_BYTES = 24_000_000  # of a report: four subjects of BraTS with eight methods; a browser opens it in a second
MARGIN = 8  # voxels around what is segmented, where there is no image to crop by
FOREGROUND = 16  # added to a voxel's level where the segmentation is foreground
OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}


@dataclasses.dataclass(frozen=True)
class Packed:
    """One subject in the report.

    about: what JavaScript needs to know; plain JSON, see `pack`.
    arrays: {"image" | "truth" | "map-<index of the method>": text}, base64 of gzip of uint8 in C order. The image is
        [depth, height, width] grey or with 3 channels; truth is 0 or 1; a map is its level + FOREGROUND x segmentation.
    """

    about: dict
    arrays: dict

    @property
    def size(self):
        return sum(map(len, self.arrays.values()))


def choose(scores, examples, reasons=()):
    """{subject: why it is shown}, the most wanted first, at most MOST_SUBJECTS.

    scores: {method: tables.Scores}.  examples: {"S1": subject, ...} of Figure 1 and what each is. Then the lowest,
    highest and median Dice, averaged over methods, then the rest from the lowest Dice up.
    """
    why = {}
    reasons = [*reasons, *[""] * len(examples)]
    for (label, subject), reason in zip(examples.items(), reasons, strict=False):
        why[subject] = ", ".join(filter(None, (label, reason)))
    subjects = next(iter(scores.values())).subjects
    order = np.argsort(tables.mean(np.stack([of.dice for of in scores.values()])), kind="stable")
    ranked = [subjects[index] for index in order]
    for subject, reason in (
        (ranked[0], "lowest Dice"),
        (ranked[-1], "highest Dice"),
        (ranked[len(ranked) // 2], "median Dice"),
    ):
        why[subject] = ", ".join(filter(None, (why.get(subject), reason))) if len(ranked) > 2 else why.get(subject, "")
    for subject in ranked:
        why.setdefault(subject, "")
    return dict(list(why.items())[:MOST_SUBJECTS])


def pack_all(evaluated, truth, image_of, chosen, most_bytes=MOST_BYTES):
    """A list of `Packed`, in the order of `chosen` ({subject: why}), as many as fit into `most_bytes`.

    evaluated: `evaluation.Evaluated`.  truth: where labels come from.  image_of: name -> `Subject`, or None.
    """
    packed, room = [], most_bytes
    for name, why in chosen.items():
        one = pack(evaluated, truth, image_of, name, why)
        room -= one.size
        if room < 0:
            break
        packed.append(one)
    return packed


def pack(evaluated, truth, image_of, name, why=""):
    """One subject with all methods' maps -> `Packed`.

    `about`: name and why; shape of the crop; first (its first slice) and depth (of the whole volume); start, the slice
    with most ground truth; focus [top, bottom, left, right] around all that is segmented; sides, the patient's
    directions, and voxel, mm^3, where known; aspect, a voxel's height over its width; channels of the image, 0 without;
    outside: for each method 48 counts [level, segmentation, truth] of the voxels that were cropped away.

    Raises `UserError` where the maps are no longer those that were evaluated.
    """
    of_truth = truth.read(name)
    target = of_truth.label != 0
    codes = [_codes(maps, name, of_truth) for maps in evaluated.maps]
    subject = image_of(name) if image_of else None
    outlined = np.logical_or.reduce([target, *(code >= FOREGROUND for code in codes)])
    box = _box(outlined, subject)
    affine = None if target.shape[0] == 1 else of_truth.affine
    flips, about = _orientation(affine)

    def shown(array):
        return np.ascontiguousarray(array[box][:, :: flips[0], :: flips[1]])

    arrays, outside = {"truth": shown(target).astype(np.uint8)}, []
    for index, (maps, code) in enumerate(zip(evaluated.maps, codes, strict=True)):
        whole = _histogram(code, target)
        _require_same(maps, name, whole, evaluated.counts[maps.method][name])
        arrays[f"map-{index}"] = shown(code)
        outside.append((whole - _histogram(code[box], target[box])).tolist())
    channels = 0
    if subject is not None:
        arrays["image"] = shown(subject.image if subject.is_photograph else _grey(subject.image[..., 0]))
        channels = 3 if subject.is_photograph else 1
    most = arrays["truth"] if target.any() else shown(outlined)
    about |= {
        "name": name,
        "why": why,
        "shape": most.shape,
        "first": box[0].start,
        "depth": target.shape[0],
        "start": int(np.argmax(most.sum(axis=(1, 2)))),
        "focus": _focus(shown(outlined)),
        "channels": channels,
        "outside": outside,
    }
    return Packed(about, {key: base64.b64encode(gzip.compress(a, 9, mtime=0)).decode() for key, a in arrays.items()})


def unpack(text):
    """The uint8 values, flat, behind one text of `Packed.arrays`."""
    return np.frombuffer(gzip.decompress(base64.b64decode(text)), np.uint8)


def _codes(maps, name, truth):
    score, prediction = maps.read(name, truth)
    level = metrics.levels(metrics.uncertainty_map(score, maps.kind, maps.sigma_range))
    return level.astype(np.uint8) + np.uint8(FOREGROUND) * (prediction != 0)


def _histogram(code, target):
    """int64 [48]: voxels by level, segmentation, truth, as `Counts.uncertainty` without its mask."""
    level, prediction = code & (FOREGROUND - 1), code // FOREGROUND
    return np.bincount((level * np.uint8(4) + prediction * np.uint8(2) + target).ravel(), minlength=metrics.LEVELS * 4)


def _require_same(maps, name, whole, counts):
    if (whole != counts.uncertainty.sum(axis=1).ravel()).any():
        found = "others: they were written anew meanwhile"
        raise UserError(maps.path(name), expected="the maps just evaluated", found=found, do="evaluate again")


def _box(outlined, subject):
    """Slices of what is worth showing: the image's and the segmentations' bounding box; all of a photograph."""
    if subject is not None and subject.is_photograph:
        return np.s_[0:1, :, :]
    used, margin = outlined, MARGIN
    if subject is not None:
        used, margin = used | subject.image.any(axis=-1), 0
    if not used.any():
        margin, used = 0, np.ones_like(used)
    box = []
    for axis in range(3):
        there = np.flatnonzero(used.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(max(int(there[0]) - margin, 0), min(int(there[-1]) + 1 + margin, used.shape[axis])))
    return tuple(box)


def _focus(outlined, share=0.3):
    """[top, bottom, left, right] of all that is segmented, with a margin, as much as the picture allows."""
    bounds = []
    for axis, size in ((1, outlined.shape[1]), (2, outlined.shape[2])):
        there = np.flatnonzero(outlined.any(axis=(0, 3 - axis)))
        first, last = (int(there[0]), int(there[-1]) + 1) if there.size else (0, size)
        margin = max(4, round(share * (last - first)))
        bounds += [max(first - margin, 0), min(last + margin, size)]
    return bounds


def _orientation(affine):
    """((row step, column step), facts) that show a slice as radiologists do: the patient's right on the left."""
    if affine is None:
        return (1, 1), {"sides": None, "voxel": None, "aspect": 1}
    across, down, _ = nibabel.aff2axcodes(affine)
    size = nibabel.affines.voxel_sizes(affine)
    facts = {"sides": None, "voxel": float(np.prod(size)), "aspect": float(size[1] / size[0])}
    if across is None or down is None:
        return (1, 1), facts
    steps = -1 if down in "AS" else 1, -1 if across in "RA" else 1
    right, bottom = (OPPOSITE[c] if step < 0 else c for c, step in ((across, steps[1]), (down, steps[0])))
    return steps, facts | {
        "sides": {"left": OPPOSITE[right], "right": right, "top": OPPOSITE[bottom], "bottom": bottom}
    }


def _grey(image):
    """uint8: the 0.5 and 99.5 percentiles of the non-zero voxels stretched to 0 and 255, in 64 steps.

    Finer ones would be noise to the eye, but cost a quarter more bytes.
    """
    inside = image[image != 0]
    low, high = np.percentile(inside, (0.5, 99.5)) if inside.size else (0, 1)
    stretched = (image.astype(np.float32) - low) / max(high - low, 1e-6)
    return ((np.clip(stretched, 0, 1) * 63).round() * (255 / 63)).round().astype(np.uint8)
