"""ISIC and PH2 as released: finds pairs of photograph and lesion mask, and loads a pair.

Official layouts, anywhere below the raw folder (<set> is Training, Validation, Test or Test_v2):
    2016         ISBI2016_ISIC_Part1_<set>_Data, ISBI2016_ISIC_Part1_<set>_GroundTruth/<id>_Segmentation.png
    2017         ISIC-2017_<set>_Data, ISIC-2017_<set>_Part1_GroundTruth/<id>_segmentation.png
    2018 Task 1  ISIC2018_Task1-2_<set>_Input, ISIC2018_Task1_<set>_GroundTruth/<id>_segmentation.png
    PH2          <id>/<id>_Dermoscopic_Image/<id>.bmp, <id>/<id>_lesion/<id>_lesion.bmp; copies in other formats beside them
A set without its ground truth folder is unlabelled: it can be predicted, not trained on.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_prep import normalisation, subject, tasks
from data_prep.base import notices
from data_prep.base.errors import Faults, UserError, command
from data_prep.readers import folders, photographs
from data_prep.readers.file_names import composed
from data_prep.readers.photographs import ENDINGS

TASK = tasks.TASKS["isic"]
SPLITS = {"Training": "train", "Validation": "valid", "Test": "test", "Test_v2": "test"}

_SET = "(?P<set>Training|Validation|Test_v2|Test)"
_FOLDERS = (  # release, role, folder name
    ("2016", "image", rf"ISBI2016_ISIC_Part1_{_SET}_Data"),
    ("2016", "mask", rf"ISBI2016_ISIC_Part1_{_SET}_GroundTruth"),
    ("2017", "image", rf"ISIC-2017_{_SET}_Data"),
    ("2017", "mask", rf"ISIC-2017_{_SET}_Part1_GroundTruth"),
    ("2018", "image", rf"ISIC2018_Task1-2_{_SET}_Input"),
    ("2018", "mask", rf"ISIC2018_Task1_{_SET}_GroundTruth"),
    ("PH2", "image", r".+_Dermoscopic_Image(?P<set>)"),
    ("PH2", "mask", r".+_lesion(?P<set>)"),
)
# official are _segmentation, _Segmentation and _lesion; the rest are other tools' names, which no photograph has
_MASK = re.compile(r"(?P<name>.+)[_-](segmentation|lesion|seg|segm|masks?|labels?)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where one photograph lies. mask: path of its lesion mask, or None. split: the official one, None for PH2."""

    name: str
    image: str
    mask: str | None = None
    grade: str | None = None
    split: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that is read."""
        return (self.image, *((self.mask,) if self.mask else ()))

    @property
    def labelled(self) -> bool:
        """Whether there is a ground truth."""
        return self.mask is not None


def find(raw_dir: pathlib.Path | str) -> list[Source]:
    """All photographs below `raw_dir`, in any official layout, as `Source`s sorted by name; superpixels are ignored.

    Raises `UserError` for an empty folder, for masks outside a ground truth folder, and a name found twice (the releases of
    ISIC overlap); `Faults`, with the photographs that are right, for those without mask where their set has masks, and for
    masks without photograph.
    """
    sets, others = _collect(pathlib.Path(raw_dir))
    if not any(roles.get("image") or roles.get("mask") for roles in sets.values()):
        _refuse_empty(raw_dir, others)
    sources: dict[str, Source] = {}
    faults: dict[str, UserError] = {}
    for (release, part), roles in sorted(sets.items()):
        images, masks = roles.get("image", {}), roles.get("mask")
        alone = {} if masks is None else _unpaired(images, masks, release)
        faults.update(alone)
        for name, path in images.items():
            if name in alone:
                continue
            source = Source(name, path, (masks or {}).get(name), None, SPLITS.get(part))
            if name not in sources:
                sources[name] = source
            elif not _same(source, sources[name]):
                _refuse_twice(path, sources[name].image)
    found = [sources[name] for name in sorted(sources)]
    if faults:
        raise Faults(faults, found)
    return found


def find_one(path: pathlib.Path | str, modalities: Mapping[str, str] | None = None) -> Source:
    """The `Source` of one new photograph (JPEG, PNG or BMP); masks beside it are ignored. modalities: must be None."""
    if modalities:
        raise UserError(
            "--modalities", expected="a task of several files a subject", found="photographs", do="leave it out"
        )
    path = pathlib.Path(path)
    if not path.is_file() or path.suffix.lower() not in ENDINGS:
        found = "a folder" if path.is_dir() else ("another file" if path.exists() else "nothing")
        raise UserError(path, expected=f"one photograph ({', '.join(ENDINGS)})", found=found)
    if _MASK.fullmatch(path.stem) or path.stem.endswith("_superpixels"):
        raise UserError(path, expected="a photograph", found="a mask by its name", do="give the photograph itself")
    return Source(composed(path.stem), str(path))


def find_new(
    path: pathlib.Path | str, modalities: Mapping[str, str] | None = None, task: tasks.Task | None = None
) -> list[Source]:
    """The `Source`s of new photographs, in order of name: of one file, or of those in a folder; masks are left out."""
    path = pathlib.Path(path)
    if modalities or not path.is_dir():
        return [find_one(path, modalities)]
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    files = [file for file in files if file.suffix.lower() in ENDINGS]
    found = [file for file in files if not (_MASK.fullmatch(file.stem) or file.stem.endswith("_superpixels"))]
    if not found:
        raise UserError(path, expected=f"photographs ({', '.join(ENDINGS)})", found="none")
    return [Source(composed(file.stem), str(file)) for file in found]


def load(source: Source, options: Mapping[str, Any] | None = None, task: tasks.Task | None = None) -> subject.Subject:
    """Decodes, checks and resizes a photograph and its mask.

    options: {"image_size": (height, width), "intensity": "unit" or "minmax"}, by default the task's, which is `TASK` where
    none is given.
    Returns a `Subject` with image uint8 [1, height, width, 3], label uint8 {0, 1} [1, height, width] or None, and the
    mean and std of the intensity rule. Raises `UserError` naming the file at fault.
    """
    given = {name: value for name, value in (options or {}).items() if value is not None}
    options = {**tasks.load_options(task or TASK), **given}
    height, width = options["image_size"]
    photograph = photographs.read_photograph(source.image)
    size = photograph.shape[:2]
    label = None
    if source.mask is None:
        photographs.say_if_turned(source.image)
    else:
        mask = photographs.read_mask(source.mask)
        photograph = photographs.aligned(photograph, mask.shape, source.image, source.mask)
        size = photograph.shape[:2]
        if mask.shape != size:
            raise UserError(
                source.mask,
                expected=f"the size of {os.path.basename(source.image)}, {size[1]}x{size[0]}",
                found=f"{mask.shape[1]}x{mask.shape[0]}",
                do="restore the mask that belongs to this photograph",
            )
        label = photographs.resize_mask(mask, height, width)[np.newaxis]
    image = photographs.resize(photograph, height, width)[np.newaxis]
    mean, std = normalisation.statistics(image, options["intensity"], source.image)
    return subject.Subject(
        name=source.name, image=image, mean=mean, std=std, label=label, source=source.image, source_size=size
    )


def _collect(raw_dir):
    """({(release, set): {"image": {name: path}, "mask": {name: path}}}, names of other files) below `raw_dir`."""
    if not raw_dir.is_dir():
        raise UserError(raw_dir, expected="a folder of raw ISIC data", found="no such folder")
    sets, others = {}, []
    for folder, names in folders.walk(raw_dir):
        key, role = _role((raw_dir.resolve().name, *folder.relative_to(raw_dir).parts))
        found = sets.setdefault(key, {}).setdefault(role, {}) if role else None
        for file in names:
            stem, ending = os.path.splitext(file)
            match = _MASK.fullmatch(stem)
            if ending.lower() not in ENDINGS or stem.endswith("_superpixels") or (role == "mask" and not match):
                others.append(file)
            elif match and role != "mask":  # else its set would pass for one without ground truth
                expected = "masks in a folder with the official name, as ISIC-2017_Training_Part1_GroundTruth"
                raise UserError(folder / file, expected=expected, found="one here", do="rename or move its folder")
            elif role is None:
                others.append(file)
            else:
                name = composed(match["name"] if match else stem)
                found[name] = _one(key[0], found[name], str(folder / file)) if name in found else str(folder / file)
    return sets, others


def _one(release, first, second):
    """Which of two files of a name in one set is read: either of a file and its link, or PH2's official .bmp."""
    if folders.same_file(first, second):
        return first
    official = [path for path in (first, second) if path.lower().endswith(".bmp")]
    if release != "PH2" or len(official) != 1:
        _refuse_twice(second, first)
    copy = second if official == [first] else first
    notices.once("PH2 copies", f"{copy}: a copy beside PH2's official .bmp, which is read in its place")
    return official[0]


def _same(source, other):
    """Whether two photographs are one: the same image with the same mask, whatever links lead there."""
    masks = source.mask is None and other.mask is None
    if source.mask is not None and other.mask is not None:
        masks = folders.same_file(source.mask, other.mask)
    return masks and folders.same_file(source.image, other.image)


def _role(parts):
    """((release, set), "image" or "mask") by the innermost folder with an official name, or (None, None)."""
    for part in reversed(parts):
        for release, role, pattern in _FOLDERS:
            if match := re.fullmatch(pattern, part):
                return (release, match["set"]), role
    return None, None


def _unpaired(images, masks, release):
    """{name: `UserError`} of images without a mask and masks without an image."""
    faults = {}
    for name in sorted(images.keys() - masks.keys()):
        official = f"{name}_lesion.bmp" if release == "PH2" else f"{name}_segmentation.png"
        do = "complete the ground truth, or move this image away"
        faults[name] = UserError(images[name], expected=f"its mask {official}", found="no mask", do=do)
    for name in sorted(masks.keys() - images.keys()):
        do = "complete the images, or move this mask away"
        faults[name] = UserError(masks[name], expected=f"its image {name}", found="no image", do=do)
    return faults


def _refuse_twice(path, other):
    raise UserError(
        path,
        expected="each image and mask once",
        found=f"the same name at {other}",
        do="the releases of ISIC overlap: give one release at a time",
    )


def _refuse_empty(raw_dir, others):
    raise UserError(
        raw_dir,
        expected="ISIC folders as ISIC-2017_Training_Data and ISIC-2017_Training_Part1_GroundTruth, or those of 2016,"
        " 2018 (Task 1) or PH2",
        found=f"only files such as {', '.join(others[:3])}" if others else "no file",
        do=("unpack the data there, or make some: ", command("phantom", dataset=TASK.name, raw_dir="DIR")),
    )
