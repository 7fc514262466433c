"""One DICOM file, read with suspicion: the few entries that say what its images are and where they lie, and their pixels.

pydicom interprets files; what it raises for one that a stranger made is told as damage. Sizes are checked before a pixel is
read, values that are not asked for are skipped, and deflated files, which would be inflated whole, are not opened at all.

Nothing here says who the patient is: `Facts.patient` is a digest, which tells one from another and stays in memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import logging
import os
import pathlib
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from data_prep.base import regular
from data_prep.base.errors import UserError

NAMES = (".dcm", ".dicom", ".ima")  # how a file's name may end that claims to be one; most have no ending at all
MARK = b"DICM"  # behind 128 bytes of anything
AGAIN = "it is damaged or no DICOM file: export or copy it again"
DEFLATED = "1.2.840.10008.1.2.1.99"
DECODERS = "decompress the series (gdcmconv --raw, dcmdjpeg), or pip install python-gdcm, which decodes it"
_WANTED = (
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID",
    "PatientName", "PatientBirthDate", "Modality", "SeriesDescription", "SeriesNumber", "ImageType", "Rows", "Columns",
    "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a file says of itself, no pixel read.

    series, study, instance: their UIDs. patient: a digest of who it is. number, description: of the series, for people.
    kind: modality and what sort of image, such as (ORIGINAL, PRIMARY, LOCALIZER). rows, columns: 0 for an object without an
    image, as a report. count: of its frames, as the header has it. syntax: the UID of the transfer syntax. dataset: pydicom's,
    of which `dicom_frames` makes the slices.
    """

    path: str
    series: str
    study: str
    instance: str
    patient: str
    number: str
    description: str
    kind: tuple[str, ...]
    rows: int
    columns: int
    count: int
    samples: int
    colour: str
    bits: int
    syntax: str
    dataset: Any = dataclasses.field(repr=False, compare=False, default=None)

    @property
    def is_image(self) -> bool:
        """Whether there are pixels that could be slices: no report, directory, segmentation or plan."""
        return self.rows > 0 and not {"SEG", "RTDOSE", "RTSTRUCT", "SR", "PR", "KO", "DOC"} & set(self.kind)

    @property
    def is_localizer(self) -> bool:
        """Whether it is a scout, by which others were planned."""
        return "LOCALIZER" in self.kind


def package() -> ModuleType:
    """pydicom; raises `UserError` where it is not installed."""
    try:
        import pydicom
    except ImportError:
        do = "pip install 'tfunc[dicom]'"
        raise UserError("DICOM", expected="the package pydicom", found="no such package", do=do) from None
    return pydicom


def is_dicom(path: pathlib.Path | str) -> bool:
    """Whether a file is DICOM by its first bytes, or claims to be by its name; nothing but those bytes is read."""
    if os.fspath(path).lower().endswith(NAMES):
        return True
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            return file.read(132)[128:] == MARK
    except OSError:
        return False


def facts(path: pathlib.Path | str) -> Facts:
    """What a file says of itself; raises `UserError` for one that is damaged, deflated or no DICOM file."""
    pydicom = package()
    regular.require(path)
    with reading(path), _Bounded(path) as file:
        if file.read(132)[128:] != MARK:
            raise ValueError("it has no mark DICM")
        meta = pydicom.filereader.read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        syntax = str(meta.get("TransferSyntaxUID", ""))
        _require_syntax(path, syntax)
        file.seek(0)
        found = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_WANTED))
        return _facts(path, found, syntax)


def _require_syntax(path, syntax):
    uid = package().uid.UID(syntax)
    if syntax == DEFLATED or not uid.is_transfer_syntax or uid.is_private:
        found = "a deflated one, which is only known whole" if syntax == DEFLATED else syntax[:64] or "none"
        raise UserError(
            path, expected="a transfer syntax of the standard", found=found, do="dcmconv +te, or export it again"
        )


def _facts(path, found, syntax):
    def text(name):
        return " ".join(str(found.get(name, "") or "").split())

    def whole(name, otherwise):
        value = found.get(name)
        return otherwise if value in (None, "") else int(value)

    kind = found.get("ImageType") or ()
    kind = (kind,) if isinstance(kind, str) else tuple(map(str, kind))
    who = "\0".join(text(name) for name in ("PatientID", "PatientName", "PatientBirthDate"))
    return Facts(
        path=os.fspath(path),
        series=text("SeriesInstanceUID"),
        study=text("StudyInstanceUID"),
        instance=text("SOPInstanceUID"),
        patient=hashlib.sha256(who.encode("utf-8", "replace")).hexdigest(),
        number=text("SeriesNumber"),
        description=text("SeriesDescription")[:64],  # the standard's length
        kind=(text("Modality"), *kind),
        rows=whole("Rows", 0),
        columns=whole("Columns", 0),
        count=whole("NumberOfFrames", 1),
        samples=whole("SamplesPerPixel", 1),
        colour=text("PhotometricInterpretation"),
        bits=whole("BitsAllocated", 16),
        syntax=syntax,
        dataset=found,
    )


def pixels(given: Facts) -> np.ndarray:
    """The stored numbers [frames, rows, columns], an integer dtype; raises `UserError` for a file that has not all of them."""
    pydicom = package()
    size = given.rows * given.columns * given.count * given.bits // 8
    if not pydicom.uid.UID(given.syntax).is_encapsulated and os.path.getsize(given.path) < size:
        found = f"a file of {os.path.getsize(given.path)} bytes"
        raise UserError(given.path, expected=f"{size} bytes of pixels", found=found, do=AGAIN)
    with reading(given.path, given.syntax), _Bounded(given.path) as file:
        stored = pydicom.dcmread(file)
        if "PixelData" not in stored:
            raise ValueError("no pixels")
        if (stored.Rows, stored.Columns) != (given.rows, given.columns):
            raise ValueError("another file than before")
        array = np.asarray(stored.pixel_array)
    array = array[np.newaxis] if array.ndim == 2 else array
    if array.shape != (given.count, given.rows, given.columns) or array.dtype.kind not in "iu":
        raise UserError(
            given.path, expected=f"{given.count} grey frames", found=f"{array.dtype} {array.shape}", do=AGAIN
        )
    return array


class _Bounded(io.BufferedReader):
    """A file of which no more is asked than it has: a length of 4 GB in an entry would be allocated before it is missed."""

    def __init__(self, path):
        super().__init__(io.FileIO(path))
        self._size = os.path.getsize(path)

    def read(self, size=-1):
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


@contextlib.contextmanager
def reading(path: object, syntax: str = "") -> Iterator[None]:
    """Inside, pydicom is quiet, and what it raises of a file becomes `UserError`. syntax: where pixels are decoded."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except (UserError, MemoryError):
        raise
    except OSError as error:
        raise UserError(path, expected="a file that can be read", found=error.strerror or str(error)) from None
    except Exception as error:  # pydicom raises what its parts met: KeyError, struct.error, RecursionError, and others
        said = " ".join(str(error).split())
        if syntax and ("transfer syntax" in said.lower() or "plugin" in said.lower() or "decoder" in said.lower()):
            raise UserError(path, expected="pixels that can be decoded", found=_name(syntax), do=DECODERS) from None
        found = f"{type(error).__name__} {said[:120]}".strip()
        raise UserError(path, expected="a whole DICOM file", found=found, do=AGAIN) from None
    finally:
        logger.setLevel(level)


def _name(syntax):
    uid = package().uid.UID(syntax)
    return f"{uid.name}" if uid.name != syntax else f"the transfer syntax {syntax[:64]}"
