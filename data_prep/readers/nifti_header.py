"""What a NIfTI header may say: each field checked, before anything is allocated by it.

Raw headers are nibabel's, of NIfTI-1 or NIfTI-2. Everything here raises `UserError` naming the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from data_prep.base.errors import UserError

if TYPE_CHECKING:
    import nibabel

NIFTI1 = 348  # bytes
MAX_VOXELS = 2**29  # 60 BraTS volumes; a CT of the whole trunk, 512 x 512 x 1000, and twice that
MOST_OF_SUBJECT = 2**30  # voxels of all files of a subject together, which are in memory at the same time
SLACK = 16 << 20  # bytes allowed to header extensions, and to what follows the voxels
READABLE = {np.dtype(name) for name in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")}


def require_single_file(path: object, magic: bytes, do: str) -> None:
    """Refuses half of a .hdr/.img pair and other signatures than those of NIfTI-1 and NIfTI-2."""
    if magic.startswith((b"ni1", b"ni2")):
        raise UserError(path, expected="header and voxels in one file", found="half of a .hdr/.img pair")
    if not magic.startswith((b"n+1", b"n+2")):
        raise UserError(path, expected="the NIfTI signature n+1 or n+2", found=repr(magic[:3]), do=do)


def shape(path: object, dim: np.ndarray, dimensions: tuple[int, ...], do: str) -> tuple[int, ...]:
    """The sizes (x, y, z), of as many dimensions as `dimensions` allows; those of size 1 beyond are dropped."""
    count = int(dim[0])
    sizes = [int(size) for size in dim[1 : 1 + count]] if 1 <= count <= 7 else []
    if not sizes or min(sizes) < 1:
        raise UserError(path, expected="1 to 7 dimensions of at least 1", found=f"{count}: {sizes}", do=do)
    while len(sizes) > max(dimensions) and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) not in dimensions:
        raise UserError(
            path,
            expected=f"{' or '.join(map(str, dimensions))} dimensions",
            found=f"{len(sizes)}: {'x'.join(map(str, sizes))}",
            do="give one file for each modality",
        )
    if math.prod(sizes) > MAX_VOXELS or max(sizes) > 32767:  # NIfTI-1 counts in int16
        raise UserError(
            path, expected=f"at most {MAX_VOXELS} voxels", found=f"a header that asks for {'x'.join(map(str, sizes))}"
        )
    return tuple(sizes)


def require_budget(path: object, shapes: Iterable[tuple[int, ...]]) -> None:
    """Raises `UserError` for files of a subject that have more voxels together than are in memory at a time.

    A gzip file of some MB may hold a thousand times as much: each is inflated as far as its header says, all of its members
    together, and what the headers say is added up before the first is. path: the first file. shapes: of all.
    """
    voxels = [math.prod(shape) for shape in shapes]
    if sum(voxels) > MOST_OF_SUBJECT:
        expected = f"at most {MOST_OF_SUBJECT} voxels in all files of a subject"
        raise UserError(path, expected=expected, found=f"{sum(voxels)} in {len(voxels)} files")


def stored(block: bytes, endianness: str = "<") -> Any:
    """A stored header as nibabel's, unchecked: of NIfTI-1, 348 bytes, or of NIfTI-2, 540."""
    import nibabel  # photographs do without, and it is half of what a process imports

    kind = nibabel.Nifti1Header if len(block) == NIFTI1 else nibabel.Nifti2Header
    return kind(block, endianness, check=False)


def dtype(path: object, raw: Any, do: str) -> np.dtype:
    """The dtype of the stored voxels, with their byte order."""
    from nibabel.spatialimages import HeaderDataError

    try:
        stored = raw.get_data_dtype()
    except (HeaderDataError, KeyError):  # nibabel answers an unknown code with KeyError
        stored = None
    if stored is None or stored.newbyteorder("=") not in READABLE:
        code = int(raw["datatype"])
        raise UserError(path, expected="integer or float voxels", found=f"NIfTI datatype {code} ({stored})", do=do)
    return stored


def offset(path: object, stored: float, length: int, do: str) -> int:
    """Where the voxels begin, in bytes. length: of the header."""
    stored = float(stored) or length + 4.0  # 0 means directly after the header and its extension flag
    if not (length <= stored <= SLACK and stored.is_integer()):
        raise UserError(path, expected=f"voxels {length} to {SLACK} bytes into the file", found=f"{stored:g}", do=do)
    return int(stored)


def scaling(path: object, slope: float, inter: float, do: str) -> tuple[float, float]:
    """(slope, intercept) of the stored voxels, (1, 0) where there is none."""
    if slope == 0 or math.isnan(slope):  # NIfTI: unscaled
        return 1.0, 0.0
    if math.isinf(slope) or not math.isfinite(inter):
        raise UserError(path, expected="a finite scl_slope and scl_inter", found=f"{slope:g} and {inter:g}", do=do)
    return slope, inter


def nifti1_block(raw: Any, shape: tuple[int, ...]) -> bytes:
    """Any header as little-endian NIfTI-1 of `shape`; geometry, units and text are kept."""
    import nibabel

    if isinstance(raw, nibabel.Nifti2Header):
        plain = nibabel.Nifti1Header(endianness="<")
        for field in {*plain.keys()} & {*raw.keys()} - {"sizeof_hdr", "magic", "dim"}:
            plain[field] = raw[field]
    else:
        plain = raw.as_byteswapped("<")
    plain["dim"] = 1
    plain["dim"][: len(shape) + 1] = (len(shape), *shape)
    return plain.binaryblock


def plain(shape: tuple[int, ...]) -> nibabel.Nifti1Header:
    """A header of that shape (x, y) or (x, y, z) with an identity affine."""
    import nibabel

    header = nibabel.Nifti1Header(endianness="<")
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), code="aligned")
    return header


class Shown(NamedTuple):
    """What a map's header tells a viewer. description: at most 79 bytes of it are kept. limits: (cal_min, cal_max), the values
    between which colours run; 0 and 0: the viewer's own. intent: NIfTI's code. name: of the intent, at most 15 bytes."""

    description: str = "tfunc"
    limits: tuple[float, float] = (0, 0)
    intent: int = 0
    name: str = ""

    def put(self, header: nibabel.Nifti1Header) -> None:
        """Puts it into a header, in place of what the source's said of its own intensities."""
        for field in ("glmin", "glmax", "intent_p1", "intent_p2", "intent_p3"):
            header[field] = 0
        header["cal_min"], header["cal_max"] = self.limits
        header["intent_code"], header["intent_name"] = self.intent, self.name.encode("ascii", "replace")[:15]
        header["descrip"] = self.description.encode("ascii", "replace")[:79]
        header["aux_file"], header["db_name"] = b"", b""


PLAIN = Shown()
