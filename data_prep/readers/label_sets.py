"""Labels whose meaning a name tells: of each BraTS release and sub-challenge which are tumour, and what else occurs.

What is not in a set needs a label map. Which labels a sub-challenge has is taken from its data description; where the
organisers' years differ, the sets of all years are accepted as long as no number means tumour in one and not in another.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping


@dataclasses.dataclass(frozen=True)
class Known:
    """Labels of files whose name `pattern` finds.

    title: for people.  sets: labels, 0 among them, of which all but 0 are foreground; a file's must lie within one.
    others: (label that occurs too; 1 for foreground, 0, or None where only the user knows; what it is): a map must say.
    own_parts: what to type where its numbers are other parts of the tumour than 1 necrosis, 2 edema, 3 or 4 enhancing.
    """

    title: str
    pattern: str
    sets: tuple[frozenset[int], ...]
    others: tuple[tuple[int, int | None, str], ...] = ()
    own_parts: str = ""

    def accepts(self, labels: Iterable[int]) -> bool:
        """Whether these labels are known to mean background and foreground."""
        return any(set(labels) <= known for known in self.sets)

    def advice(self, found: Iterable[int]) -> str:
        """What to type for labels that are not accepted: `map_to_type` of all that occur in such files and in this one."""
        targets: dict[int, int | None] = {label: 1 for labels in self.sets for label in labels if label}
        targets.update({label: target for label, target, _ in self.others})
        why = "; ".join(what for label, _, what in self.others if label in set(found))
        return map_to_type({**dict.fromkeys(found, None), **targets}, why)


def map_to_type(targets: Mapping[int, int | None], why: str = "") -> str:
    """The label map that an error shows: a question mark where only the user can know. targets: {label: 0, 1 or None}."""
    labels = sorted(set(targets) - {0})
    pairs = ",".join(f"{label}:{'?' if targets[label] is None else targets[label]}" for label in labels[:12])
    open_ = "1 where it is foreground and 0 where not, in place of each question mark" if "?" in pairs else ""
    reasons = "; ".join(filter(None, (why, open_)))
    return f"say which are foreground, as --label_map={pairs}{f' ({reasons})' if reasons else ''}"


_OLD = (frozenset({0, 1, 2, 4}), frozenset({0, 1, 2, 3}))  # 3 in copies that renumber the enhancing tumour: never else
_NEW = (frozenset({0, 1, 2, 3}),)
_CAVITY = ((4, 0, "4 is the resection cavity, which is no tumour"),)

BY_NAME = (  # in the order of looking; the subject's name decides before the form of the file's
    Known("BraTS-GLI", r"brats-gli-", _NEW, ((4, 0, "from 2024 on, 4 is the resection cavity, which is no tumour"),)),
    Known(
        "BraTS-PED",
        r"brats-peds?-",
        (frozenset({0, 1, 2, 3, 4}),),  # 2024: 4 is oedema, which is tumour
        own_parts="give --label_map=1:3,2:1,3:1,4:2 (1 enhancing, 2 non-enhancing, 3 cystic, 4 oedema)",
    ),
    Known(
        "BraTS-MEN-RT",
        r"brats-men-rt-",
        (frozenset({0, 1}),),
        own_parts="it has one number for the whole tumour: use --dataset=brats",
    ),
    Known("BraTS-MEN", r"brats-men-", _NEW),
    Known("BraTS-MET", r"brats-mets?-", _NEW, _CAVITY),
    Known("BraTS-SSA", r"brats-ssa-", _NEW),
    Known("BraTS to 2021", r"brats(17|18|19|20|2021)_", _OLD),
)
BY_FORM = (  # of files that are known to be BraTS'
    Known(
        "BraTS from 2023 on",
        r"-seg$",
        _NEW,
        ((4, None, "4 is the resection cavity in BraTS-GLI from 2024 on, 4:0, and oedema in BraTS-PED, 4:1"),),
    ),
    Known(
        "BraTS to 2021",
        r"",
        _OLD,
        ((4, None, "4 is enhancing tumour to 2021, 4:1, and a resection cavity from 2024 on, 4:0"),),
    ),
)


def known(path: object, dataset: str | None = None) -> Known | None:
    """What the name of a file of labels tells, or None.

    dataset: the data set that the file is known to be of; without it only names that begin as BraTS' subjects do tell.
    """
    name = re.sub(r"\.nii(\.gz)?$", "", os.path.basename(str(path)).lower())
    for one in BY_NAME:
        if re.match(one.pattern, name):
            return one
    if dataset != "brats":
        return None
    return next(one for one in BY_FORM if re.search(one.pattern, name))
