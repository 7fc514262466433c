"""NIfTI files: read with suspicion, written back exactly into the space of their source.

Arrays are [depth, height, width], the file's [x, y, z] transposed and not reoriented here. A file's bytes run x fastest,
so both orders are the same memory, and nothing is copied to transpose. Affines stay those of [x, y, z].

nibabel interprets headers; the reading is ours, because a header of 348 bytes can ask for any amount of memory: sizes
are checked before anything is allocated, and gzip is inflated only as far as the header accounts for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import logging
import math
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from isal import isal_zlib

from data_prep import place, voxel_order
from data_prep.base import artefacts, notices, regular
from data_prep.base.errors import UserError
from data_prep.readers import nifti_header
from data_prep.readers.nifti_header import SLACK

DEFLATE_RATIO = 1032  # deflate cannot shrink further, so a small .gz is known to lie before it is inflated
AFFINE_TOLERANCE = 1e-3  # absolute, on each of the affine's elements
AGAIN = "it is truncated, corrupt or no NIfTI file: download or copy it again"
MAGIC = b"\x1f\x8b"  # a gzip member's first bytes
_GZIP = 16 + isal_zlib.MAX_WBITS  # zlib's name of that format
COMPRESSED, PIECE = 1 << 18, 1 << 18  # bytes read and inflated at a time
_UNREADABLE = (EOFError, isal_zlib.error, gzip.BadGzipFile)


@dataclasses.dataclass(frozen=True, eq=False)
class Header:
    """What a NIfTI file says about itself, checked.

    path: the file. shape: (depth, height, width), or (height, width) where two dimensions were allowed.
    dtype: of the stored voxels, with their byte order. offset: of the voxels, in bytes. slope, inter: scaling, (1, 0)
    where there is none. affine: float64 [4, 4], voxel x, y, z to mm, from the sform, else the qform.
    block: the same header as 348 bytes of little-endian NIfTI-1, whatever the file was. voxels: gives them, of a volume that is
    no NIfTI file, as a series of DICOM; then `path` is what it is called.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    slope: float
    inter: float
    affine: np.ndarray
    block: bytes
    voxels: Callable[[], np.ndarray] | None = None


def read_header(path: pathlib.Path | str, dimensions: tuple[int, ...] = (3,), do: str = AGAIN) -> Header:
    """Reads and checks the header of a single-file NIfTI-1 or NIfTI-2 image, gzipped or not, of either byte order.

    Dimensions of size 1 beyond the third are dropped. Raises `UserError` naming `path`, with the remedy `do` for a
    damaged file: not NIfTI, a .hdr/.img pair, another number of dimensions, more than MAX_VOXELS voxels, complex or RGB
    voxels, more voxels than the file can hold, no geometry (both codes 0), or contradictory geometry.
    """
    with _open(path, do) as file:
        start = file.read(4)
        length = {348: 348, 540: 540}.get(_sizeof_hdr(start))
        if length is None:
            raise UserError(path, expected="a NIfTI header", found=f"{start!r} at its start", do=do)
        block = start + file.read(length - 4)
    if len(block) < length:
        raise UserError(path, expected=f"a NIfTI header of {length} bytes", found=f"{len(block)} bytes", do=do)
    raw = nifti_header.stored(block, "<" if int.from_bytes(start, "little") == length else ">")
    nifti_header.require_single_file(path, bytes(raw["magic"]), do)
    shape = nifti_header.shape(path, raw["dim"], dimensions, do)
    dtype = nifti_header.dtype(path, raw, do)
    offset = nifti_header.offset(path, raw["vox_offset"], length, do)
    _require_room(path, offset + math.prod(shape) * dtype.itemsize, do)
    slope, inter = nifti_header.scaling(path, float(raw["scl_slope"]), float(raw["scl_inter"]), do)
    affine = place.affine(path, raw, shape)
    return Header(str(path), shape[::-1], dtype, offset, slope, inter, affine, nifti_header.nifti1_block(raw, shape))


def read_array(header: Header, do: str = AGAIN) -> np.ndarray:
    """The voxels, [depth, height, width], in the stored dtype (native byte order); float32 if the header scales them.

    Raises `UserError` for a file that ends early, whose gzip checksum is wrong, or that goes on long after its voxels.
    """
    if header.voxels is not None:
        return header.voxels()
    array = np.empty(header.shape, header.dtype)
    with _open(header.path, do) as file:
        if _skip(file, header.offset) < header.offset or _fill(file, array) < array.nbytes:
            raise UserError(header.path, expected=f"{array.nbytes} bytes of voxels", found="fewer", do=do)
        if _skip(file, SLACK) == SLACK:  # also reads gzip's checksum, which stands at the end
            raise UserError(header.path, expected=f"{array.nbytes} bytes of voxels", found="far more", do=do)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if (header.slope, header.inter) == (1.0, 0.0):
        return array
    array = array.astype(np.float64)
    array *= header.slope
    array += header.inter
    return array.astype(np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """Where an array lies: what to call it in an error, its shape (depth, height, width), its affine or None where unknown."""

    path: str
    shape: tuple[int, ...]
    affine: np.ndarray | None


def require_same_space(reference: Space | Header, other: Space | Header) -> None:
    """Raises `UserError` unless two headers have the same shape and, within AFFINE_TOLERANCE, the same affine.

    Where the reference's affine is None, as a photograph's, it isn't compared.
    The sform and qform codes aren't compared: real segmentations carry other codes than their images.
    """
    if other.shape != reference.shape:
        raise UserError(
            other.path,
            expected=f"the shape of {os.path.basename(reference.path)}, {_xyz(reference.shape)}",
            found=_xyz(other.shape),
            do="all files of a subject must lie on one voxel grid: restore or resample this one",
        )
    if reference.affine is None or other.affine is None:
        return
    gap = np.abs(other.affine - reference.affine)
    if gap.max() > AFFINE_TOLERANCE:
        row, column = np.unravel_index(gap.argmax(), gap.shape)
        raise UserError(
            other.path,
            expected=f"the affine of {os.path.basename(reference.path)} within {AFFINE_TOLERANCE}"
            f" ({reference.affine[row, column]:g} in row {row + 1}, column {column + 1})",
            found=f"{other.affine[row, column]:g}",
            do="all files of a subject must lie in one space: restore the headers, or register and resample this one",
        )


def warn_unless_axial(header: Header) -> None:
    """Logs one line where array axis 0 (z, the slices) does not run along superior-inferior by the affine."""
    order = voxel_order.of_affine(header.affine)
    if order is not None and order[2] not in "SI":
        logging.getLogger(__name__).warning(
            "%s: the slices (third voxel axis) run along %s, not superior-inferior; nothing is reoriented, and networks"
            " trained on axial slices will see other planes",
            header.path,
            {"L": "left-right", "R": "left-right", "A": "anterior-posterior", "P": "anterior-posterior"}[order[2]],
        )


def write_map(
    path: pathlib.Path | str,
    array: np.ndarray,
    header: bytes | None = None,
    compresslevel: int = 1,
    shown: nifti_header.Shown = nifti_header.PLAIN,
) -> None:
    """Writes a map so that it lies on its source: same affine, sform, qform and codes, only dtype and scaling its own.

    array: [depth, height, width] with the stored `header` (348 bytes, `Header.block`), or [depth, height, width, classes],
    which becomes the file's last axis; or [height, width] or [1, height, width] without one, written as a 2-D image
    [width, height] with an identity affine. uint8, uint16, int16 or float32. Atomic; gzipped if `path` ends in .gz, with no
    time or name inside: same map, same bytes. shown: what viewers are told of it.
    """
    array = np.asarray(array)
    if header is None and array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 4:
        array = np.moveaxis(array, -1, 0)
    space = array.shape[-3:][::-1]
    out = nifti_header.plain(space) if header is None else nifti_header.stored(header)
    shape = tuple(int(size) for size in out["dim"][1 : 1 + out["dim"][0]])
    if shape[:3] != space or array.dtype not in (np.uint8, np.uint16, np.int16, np.float32):
        raise ValueError(f"{path}: header of shape {shape} for a map {array.dtype} {array.shape[::-1]}")
    out["dim"], out["dim"][: array.ndim + 1] = 1, (array.ndim, *array.shape[::-1])
    out.set_data_dtype(array.dtype)
    out["magic"], out["vox_offset"], out["scl_slope"], out["scl_inter"] = b"n+1", 352, 1, 0
    shown.put(out)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    with artefacts.aside(path) as temporary, open(temporary, "wb") as plain, contextlib.ExitStack() as stack:
        file: Any = plain
        if str(path).endswith(".gz"):
            file = stack.enter_context(gzip.GzipFile("", "wb", compresslevel, plain, mtime=0))
        file.write(out.binaryblock + bytes(4))  # four zeros: no header extension
        file.write(np.ascontiguousarray(little).reshape(-1).view(np.uint8))


def read_map(
    path: pathlib.Path | str,
    do: str = "it is damaged: remove it and make it again",
    dimensions: tuple[int, ...] = (2, 3),
) -> tuple[np.ndarray, np.ndarray]:
    """Reads a map: (array [depth, height, width] or [height, width] in its own dtype, affine float64 [4, 4])."""
    header = read_header(path, dimensions=dimensions, do=do)
    return read_array(header, do), header.affine


@contextlib.contextmanager
def _open(path, do):
    """The file's bytes, inflated if they are gzip (by content: names lie); low-level errors become `UserError`."""
    regular.require(path)
    try:
        with open(path, "rb") as plain:
            magic = plain.read(2)
            plain.seek(0)
            yield _Inflated(path, plain) if magic == MAGIC else plain
    except _UNREADABLE as error:
        raise UserError(path, expected="a whole NIfTI file", found=str(error).rstrip("."), do=do) from None
    except OSError as error:
        raise UserError(path, expected="a file that can be read", found=error.strerror or str(error)) from None


class _Inflated:
    """A gzip file's content, all members of it; bytes after the last that are none are left aside, as gzip does, and said.

    ISA-L, which inflates three times as fast as zlib, finds the members and checks them.
    """

    def __init__(self, path, plain):
        self._path, self._plain = path, plain
        self._member, self._waiting, self._over = isal_zlib.decompressobj(_GZIP), b"", False

    def read(self, size):
        """Up to `size` of the next bytes, fewer only at the end."""
        pieces, missing = [], size
        while missing and not self._over and (piece := self._next(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _next(self, size):
        while not self._over:
            if self._member.eof and not self._begins():
                return b""
            waiting = self._waiting or self._plain.read(COMPRESSED)
            piece = self._member.decompress(waiting, size)
            self._waiting = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if piece:
                return piece
            if not waiting and not self._member.eof:
                raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        return b""

    def _begins(self):
        """Whether another member follows the one that has ended; zeros between are padding."""
        while not (waiting := self._waiting.lstrip(b"\0")) and (more := self._plain.read(COMPRESSED)):
            self._waiting = more
        if len(waiting) < len(MAGIC):
            waiting += self._plain.read(COMPRESSED)
        self._waiting, self._over = waiting, not waiting.startswith(MAGIC)
        if waiting and self._over:
            line = f"{self._path}: bytes after the end of its gzip data are not read, as a newline or a page may leave"
            notices.once("bytes after gzip", line)
        self._member = isal_zlib.decompressobj(_GZIP)
        return not self._over


def _sizeof_hdr(start):
    return min(int.from_bytes(start, "little"), int.from_bytes(start, "big"))  # the wrong order gives a huge number


def _skip(file, count):
    """Reads and forgets up to `count` bytes; returns how many there were."""
    done = 0
    while done < count and (piece := file.read(min(PIECE, count - done))):
        done += len(piece)
    return done


def _fill(file, array):
    """Reads into a contiguous array piece by piece; returns the number of bytes read."""
    target, done = array.reshape(-1).view(np.uint8), 0
    while done < target.size and (piece := file.read(min(PIECE, target.size - done))):
        target[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    return done


def _require_room(path, needed, do):
    with _open(path, do) as file:
        most = os.path.getsize(path) * (DEFLATE_RATIO if isinstance(file, _Inflated) else 1)
    if most < needed:
        size = os.path.getsize(path)
        raise UserError(
            path, expected=f"the {needed} bytes that its header asks for", found=f"a file of {size} bytes", do=do
        )


def _xyz(shape):
    return "x".join(map(str, shape[::-1]))
