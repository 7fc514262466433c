"""DICOM: a file of a series that is damaged in its bytes, or whose entries have other values; single images and multi-frame."""

from __future__ import annotations

import pathlib
import random
import struct
import unittest.mock

import hypothesis.strategies as st
import msgspec
import numpy as np
from harness import Target
from mutations import bytes_of

from data_prep import tasks
from data_prep.readers import dicom_folder, nifti_header, own_volumes
from tfunc.maps import dicom_seg

SHAPE = (3, 12, 10)
TASK = msgspec.structs.replace(tasks.TASKS["brats"], channels=(tasks.Channel("CT", "none"),))
TEXTS = (
    b"", b"0", b"1", b"-1", b"1e400", b"nan", b"inf", b"1\\2", b"0\\0\\0", b"1e30\\1e30\\1e30", b"\\\\\\", b"a", b"\xff\xfe",
    b"x" * 300,
    b"1\\0\\0\\0\\1\\0", b"0\\0\\0\\0\\0\\0", b"nan\\0\\0\\0\\1\\0", b"MOSAIC", b"LOCALIZER", b"\x1b$B",
    b"99999999999", b"1.5", b"\0\0",
    b"1.2.840.10008.1.2.4.70", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.5", b"RGB", b"PALETTE COLOR", b"MONOCHROME1",
)  # fmt: skip
NUMBERS = (0, 1, 2, 3, 7, 8, 10, 12, 16, 32, 64, 255, 4096, 32767, 65535)


def all_of(place: pathlib.Path) -> list[Target]:
    """The targets, as `targets_documents.all_of`."""
    import dicom_files

    folder = place / "damaged" / "dicom"
    array = dicom_files.stored(shape=SHAPE)
    whole = sorted(dicom_files.series(place / "whole" / "series", array).iterdir())
    multi = dicom_files.enhanced(place / "whole" / "multi.dcm", array)
    packed = [_packed(path, place / "whole" / "packed.dcm") for path in whole[1:2]]
    for path in (whole[0], whole[2]):
        (folder / "series").mkdir(parents=True, exist_ok=True)
        (folder / "series" / path.name).write_bytes(path.read_bytes())

    def in_series(given):
        (folder / "series" / whole[1].name).write_bytes(given)
        return _read(folder / "series")

    def alone(given):
        (folder / "alone").mkdir(parents=True, exist_ok=True)
        (folder / "alone" / "a").write_bytes(given)
        return _read(folder / "alone")

    def segmented(given):
        (folder / "series" / whole[1].name).write_bytes(given)
        for source in dicom_folder.find_new(folder / "series", None, TASK):
            shape = own_volumes.read(source, 1).channels[0].shape
            dicom_seg.write(folder / "out", "a", np.ones(shape, np.uint8), TASK, source.series[0], {"method": "a"})

    single, several = whole[1].read_bytes(), multi.read_bytes()
    return [
        Target("DICOM: bytes of an image", bytes_of(single, *packed), in_series),
        Target("DICOM: bytes of a multi-frame file", bytes_of(several), alone),
        Target("DICOM: entries of an image", _entries(single), in_series),
        Target("DICOM: a segmentation of a damaged image", _entries(single), segmented),
        Target("DICOM: entries of a multi-frame file", _entries(several), alone),
        Target(
            "DICOM: any bytes behind the mark",
            st.binary(max_size=400).map(lambda end: bytes(128) + b"DICM" + end),
            alone,
        ),
    ]


def _read(folder):
    with unittest.mock.patch.object(nifti_header, "MAX_VOXELS", 1 << 24):
        for source in dicom_folder.find_new(folder, None, TASK):
            own_volumes.read(source, 1)


def _packed(path, target):
    import dicom_files
    from pydicom.uid import RLELossless

    image = dicom_files.read(path)
    image.compress(RLELossless)
    image.save_as(target)
    return target.read_bytes()


def _places(whole):
    """(offset of the value, its length, VR) of every entry with a short length, explicit little-endian, nested ones too."""
    found, at = [], 132
    while at + 8 <= len(whole):
        vr = whole[at + 4 : at + 6]
        if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
            if vr != b"SQ" and whole[at : at + 4] == b"\xe0\x7f\x10\x00":
                break
            at += 12 if vr == b"SQ" else 12 + struct.unpack_from("<I", whole, at + 8)[0]
        elif whole[at : at + 2] == b"\xfe\xff":  # an item, or its end
            at += 8
        else:
            (length,) = struct.unpack_from("<H", whole, at + 6)
            found.append((at + 8, length, vr.decode("ascii")))
            at += 8 + length
    return found


def _entries(whole):
    """The file with one to four of its entries' values others, of another length too; lengths of sequences stay."""
    places = _places(whole)
    assert len(places) > 30 and np.all([place[0] < len(whole) for place in places])

    def made(drawn):
        seed, count = drawn
        rng, found = random.Random(seed), whole
        for at, length, vr in sorted(rng.sample(places, count), reverse=True):
            value = struct.pack("<H", rng.choice(NUMBERS)) if vr == "US" else rng.choice(TEXTS)
            value += b" " * (len(value) % 2)
            if rng.random() < 0.5 and at > 400:  # of the same length, so that what follows stays readable
                value = value[:length].ljust(length)
            found = found[: at - 2] + struct.pack("<H", len(value)) + value + found[at + length :]
        return found

    return st.tuples(st.integers(0, 2**32), st.integers(1, 4)).map(made)
