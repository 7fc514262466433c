"""Subjects that are one and the same, or nearly: by the bytes of their files, and by small copies of their images.

Whether they lie on both sides of a split decides how grave it is: a network that has seen a subject is no judge of itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from data_prep.base.findings import Finding, finding
from data_prep.check.subjects import Seen

NEARLY = (
    0.999  # correlation of small copies; time points of one patient have less, a file that was stored anew has more
)
ROWS = 256  # compared with all others at a time
_DO = "keep one of them; where both are meant, --patients keeps them on one side of a split that is made here"


def find(seen: Sequence[Seen], splits: Mapping[str, Sequence[str]]) -> list[Finding]:
    """What subjects have in common. splits: {subject: its splits}; nothing for one that is in none."""
    found, pairs = [], set()
    for name, other, path, same in _same_files(seen, "images"):
        if (name, other) in pairs:
            continue
        pairs.add((name, other))
        divided = _divided(splits.get(name, ()), splits.get(other, ()))
        told = f"the bytes of {same}, of {other}" + (f", which is in {divided}" if divided else "")
        found.append(
            finding(
                "error" if divided else "warning",
                "identical subjects",
                path,
                expected="an image of this subject only",
                found=told,
                do=_DO,
            )
        )
    for name, other, path, same in _same_files(seen, "label"):
        if (name, other) not in pairs:
            told, do = f"the voxels of {same}, of {other}", "restore the labels that belong to it"
            expected = "labels of this subject only"
            found.append(finding("warning", "identical labels", path, expected=expected, found=told, do=do))
    return [*found, *_nearly(seen, pairs, splits)]


def _same_files(seen: Sequence[Seen], which: str) -> Iterator[tuple[str, str, str, str]]:
    """(subject, the first subject with the same file, both paths) of each file that another subject has too."""
    there: dict[str, tuple[str, str]] = {}
    for one in seen:
        for path, checksum in getattr(one, which).items():
            other, same = there.setdefault(checksum, (one.name, path))
            if other != one.name:
                yield one.name, other, path, same


def _divided(own, other):
    """The split of the other subject where one of the two is trained on and one judges it; else empty."""
    if not own or not other or ("train" in own) == ("train" in other):
        return ""
    return " and ".join(other)


def _nearly(seen, pairs, splits):
    """A warning for each subject whose image correlates with that of one before."""
    sizes: dict[int, list[Seen]] = {}
    for one in seen:
        if one.small is not None:
            sizes.setdefault(one.small.size, []).append(one)
    found = []
    for group in sizes.values():
        every = np.stack([one.small for one in group])
        for start in range(0, len(group), ROWS):
            alike = every[start : start + ROWS] @ every[: start + ROWS].T > NEARLY
            for row, columns in enumerate(alike, start):
                first = int(columns[:row].argmax()) if columns[:row].any() else row
                if first != row and (group[row].name, group[first].name) not in pairs:
                    found.append(_of_pair(group[row], group[first], float(every[row] @ every[first]), splits))
    return found


def _of_pair(one, other, correlation, splits):
    divided = _divided(splits.get(one.name, ()), splits.get(other.name, ()))
    told = f"nearly that of {other.name}{f', which is in {divided}' if divided else ''}, correlation {correlation:.4f}"
    expected = "an image of this subject only"
    where = next(iter(one.images), one.name)
    return finding("warning", "nearly identical subjects", where, expected=expected, found=told, do=_DO)
