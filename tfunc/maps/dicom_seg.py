"""A segmentation as a DICOM Segmentation object on the series that it was made of, for archives and viewers of a hospital.

    <subject>_prediction.dcm    one segment for each class beside the background, by highdicom

It is the patient's own object: **it names the patient**, as their images do, which the NIfTI maps and JSON documents never do;
so it is written where it is asked for. Its UIDs follow from the images, from what the maps were made with and from the
segmentation: the same again is the same object to an archive. Only its content date and time are those of its making.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep import label_colours, map_files
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.readers import dicom_file, dicom_series
from data_prep.tasks import Task
from tfunc import __version__
from tfunc.maps import dicom_codes

ENDING = "dcm"
SERIES_NUMBER = 9000  # far behind an examination's own
MAKER = "tfunc"


def path(folder: pathlib.Path | str, subject: str) -> pathlib.Path:
    """Where the segmentation of a subject lies."""
    return map_files.path(folder, subject, "prediction", ENDING)


def require(name: str, series: Sequence[Sequence[str]]) -> None:
    """Raises `UserError` where highdicom is not installed, or a subject, `name`, is not of DICOM images."""
    package()
    if not series:
        do = "leave --dicom_seg out"
        raise UserError(name, expected="images in DICOM, which a segmentation refers to", found="other files", do=do)


def write(
    folder: pathlib.Path | str,
    subject: str,
    prediction: NDArray[np.unsignedinteger],
    task: Task,
    files: Sequence[str],
    made_with: Mapping[str, Any],
) -> pathlib.Path:
    """Writes the segmentation of a subject; returns its path.

    prediction: [depth, height, width] on the grid of the series, in the numbers that maps are written with. files: of the
    series. made_with: plain JSON of what the maps depend on, method and networks among it. Raises `UserError` for files that
    are not the series any more.
    """
    highdicom = package()
    made = dicom_series.grid([dicom_file.facts(file) for file in files])
    if made.shape != prediction.shape:
        expected = f"the series of {'x'.join(map(str, prediction.shape[::-1]))} voxels that was predicted"
        found = "x".join(map(str, made.shape[::-1]))
        raise UserError(dicom_series.label([made.slices[0].file]), expected=expected, found=found)
    sources, frames = _sources(made, prediction)
    index = _index(frames, task)
    stable = _entropy(made, made_with, index)
    with _refused(files[0]):
        found = highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=index,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=_segments(highdicom, task, made_with),
            series_instance_uid=_uid(stable, "series"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=_uid(stable, "instance"),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name=str(made_with.get("method", "")),
            software_versions=__version__,
            device_serial_number="0",
            content_label="SEGMENTATION",
            content_description="Segmentation by a neural network, for research"[:64],
            series_description=f"{MAKER} {made_with.get('method', '')}"[:64],
            omit_empty_frames=bool(index.any()),
        )
        _steady(found, _uid(stable, "dimensions"))
    target = path(folder, subject)
    with artefacts.aside(target) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found.save_as(temporary)
    return target


def package() -> ModuleType:
    """highdicom; raises `UserError` where it, or pydicom, is not installed."""
    dicom_file.package()
    try:
        import highdicom
        import highdicom.seg
    except ImportError:
        do = "pip install 'tfunc[dicom]'"
        raise UserError("--dicom_seg", expected="the package highdicom", found="no such package", do=do) from None
    return highdicom


def _sources(made, prediction):
    """(the series' images without their pixels, the prediction's slices in the order of their frames)."""
    pydicom = dicom_file.package()

    def whole(file):
        with dicom_file.reading(file):
            return pydicom.dcmread(file, stop_before_pixels=True)

    names = list(dict.fromkeys(one.file.path for one in made.slices))
    if len(names) == len(made.slices):
        return [whole(name) for name in names], np.ascontiguousarray(prediction)
    if len(names) > 1:
        found = f"{len(names)} of them"
        raise UserError(names[0], expected="a series in one multi-frame file", found=found, do="leave --dicom_seg out")
    frames = np.empty_like(prediction)
    frames[[one.frame.index for one in made.slices]] = prediction
    return [whole(names[0])], frames


def _index(frames, task):
    """The index of each voxel's class, uint8: the segments' numbers, 0 for none."""
    index = np.zeros(frames.shape, np.uint8)
    for number, label in enumerate(task.values):
        index[frames == label] = number
    return index


def _segments(highdicom, task, made_with):
    from pydicom.sr.coding import Code

    networks = made_with.get("networks", {})
    digest = hashlib.sha256("".join(map(str, networks.values())).encode()).hexdigest()[:12]
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=f"{MAKER} {made_with.get('method', '')}"[:64],
        family=Code("123109", "DCM", "Artificial Intelligence"),
        version=__version__,
        parameters={"networks": digest},
    )
    segments = []
    for number, one in enumerate(task.classes[1:], 1):
        category, kind = dicom_codes.of_class(one.name)
        segments.append(
            highdicom.seg.SegmentDescription(
                segment_number=number,
                segment_label=one.name[:64],
                segmented_property_category=Code(*category),
                segmented_property_type=Code(*kind),
                algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
                display_color=highdicom.color.CIELabColor.from_rgb(*label_colours.rgb(number - 1)),
            )
        )
    return segments


def _entropy(made, made_with, index):
    """What a segmentation follows from, as text: images, what it was made with, and its voxels."""
    digest = hashlib.sha256(np.ascontiguousarray(index)).hexdigest()
    instances = [f"{one.file.instance} {one.frame.index}" for one in made.slices]
    kept = {name: value for name, value in made_with.items() if name not in ("source", "seal")}  # where it lay
    return [*instances, json.dumps(kept, sort_keys=True, default=str), __version__, digest]


def _uid(stable, what):
    """A UID that follows from texts: of a name-based UUID, below the root that is everybody's for them."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, chr(0).join([*stable, what])).int}"


def _steady(found, uid):
    """Gives the entries that highdicom draws at random what follows from the rest."""
    for item in (*found.DimensionOrganizationSequence, *found.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


@contextlib.contextmanager
def _refused(where: object) -> Iterator[None]:
    """Inside, what the packages remark is not said, and what they refuse of others' images is one line."""
    try:
        with dicom_file.reading(where):
            yield
    except UserError as error:
        place, _, found, _ = error.arguments
        do = "leave --dicom_seg out, or mend what is missing in the images"
        raise UserError(place, expected="images that a segmentation can refer to", found=found, do=do) from None
