"""`tf.train.Example` and TFRecord files as bytes, without TensorFlow, whose import takes longer than a subject does.

An Example is a protocol buffer of named features, each a list of byte strings, of float32 or of int64:

    Example { Features features = 1 }            Feature   { BytesList = 1 | FloatList = 2 | Int64List = 3 }
    Features { map<string, Feature> feature = 1 }  *List   { repeated value = 1, packed for numbers }

Features are written in order of their names, a name behind those that it begins (`image_shape`, `image`): that is the order of
`SerializeToString(deterministic=True)`, so records are what TensorFlow would write, and equal data are equal bytes. A record of
a TFRecord file is its length (uint64), the length's checksum, the bytes, their checksum, all little-endian.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import google_crc32c
import numpy as np

_BYTES, _FLOATS, _INTEGERS = b"\x0a", b"\x12", b"\x1a"  # which of a feature's lists it has
_FIRST, _SECOND = b"\x0a", b"\x12"  # a message's field 1 or 2, of a known length

Pieces = list[Any]  # byte strings and arrays of bytes that follow one another


def of_bytes(value: bytes | np.ndarray) -> Pieces:
    """The feature of one byte string, or of the memory of a C-contiguous array."""
    data = value.reshape(-1).view(np.uint8).data if isinstance(value, np.ndarray) else value
    return _message(_BYTES, _message(_FIRST, [data]))


def of_integers(values: Iterable[int]) -> Pieces:
    """The feature of whole numbers, each below 2**63 and not negative."""
    packed = b"".join(_varint(int(value)) for value in values)
    return _message(_INTEGERS, _message(_FIRST, [packed]) if packed else [])


def of_floats(values: Iterable[float]) -> Pieces:
    """The feature of numbers, kept as float32."""
    packed = np.array([float(value) for value in values], "<f4").tobytes()
    return _message(_FLOATS, _message(_FIRST, [packed]) if packed else [])


def entry(name: str, feature: Pieces) -> Pieces:
    """A named feature as it stands in an Example; the same entry may stand in several."""
    return _message(_FIRST, [*_message(_FIRST, [name.encode()]), *_message(_SECOND, feature)])


def example(entries: Mapping[str, Pieces]) -> bytes:
    """The serialized Example of {name: its `entry`}."""
    names = sorted(entries, key=lambda name: name + "\x7f")
    return b"".join(_message(_FIRST, [piece for name in names for piece in entries[name]]))


def framed(record: bytes) -> Iterator[bytes]:
    """What a TFRecord file has of one record, piece by piece."""
    yield _head(len(record))
    yield record
    yield struct.pack("<I", _masked(google_crc32c.value(record)))


def records(file: BinaryIO) -> Iterator[bytes]:
    """The records of an open TFRecord file from where it stands, one by one; raises `ValueError` where it is torn or damaged."""
    while head := file.read(12):
        if len(head) < 12 or head != _head(size := int.from_bytes(head[:8], "little")):
            raise ValueError("no record's length")
        record, checksum = file.read(size), file.read(4)
        if len(record) < size or checksum != struct.pack("<I", _masked(google_crc32c.value(record))):
            raise ValueError("a record that does not match its checksum")
        yield record


def starts(file: BinaryIO) -> np.ndarray:
    """Where each record of a TFRecord file begins, int64 bytes, by their lengths; raises `ValueError` for a damaged one."""
    found, at, size = [], 0, file.seek(0, 2)
    while at < size:
        file.seek(at)
        head = file.read(12)
        length = int.from_bytes(head[:8], "little")
        if len(head) < 12 or head != _head(length):
            raise ValueError("no record's length")
        found.append(at)
        at += length + 16
    return np.array(found, np.int64)


def parsed(record: bytes) -> Any:
    """A serialized Example as `tf.train.Example.FromString` has it; raises `ValueError` for bytes that are none."""
    kind, error = _example()
    try:
        return kind.FromString(record)
    except error as wrong:
        raise ValueError(f"no tf.train.Example: {wrong}") from None


@functools.cache
def _example():
    """(the class of the message, protobuf's error), described here: TensorFlow's own comes with all of TensorFlow."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

    described = descriptor_pb2.FileDescriptorProto(name="tfunc/example.proto", package="tfunc", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto

    def add(to, name, number, kind, label=field.LABEL_OPTIONAL, of=""):
        made = to.field.add(name=name, number=number, type=kind, label=label)
        if of:
            made.type_name = f".tfunc.{of}"
        return made

    lists = {"BytesList": field.TYPE_BYTES, "FloatList": field.TYPE_FLOAT, "Int64List": field.TYPE_INT64}
    for name, kind in lists.items():
        add(described.message_type.add(name=name), "value", 1, kind, field.LABEL_REPEATED)
    feature = described.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, of) in enumerate(zip(("bytes_list", "float_list", "int64_list"), lists, strict=True), 1):
        add(feature, name, number, field.TYPE_MESSAGE, of=of).oneof_index = 0
    features = described.message_type.add(name="Features")
    entry_of = features.nested_type.add(name="FeatureEntry")
    entry_of.options.map_entry = True
    add(entry_of, "key", 1, field.TYPE_STRING)
    add(entry_of, "value", 2, field.TYPE_MESSAGE, of="Feature")
    add(features, "feature", 1, field.TYPE_MESSAGE, field.LABEL_REPEATED, "Features.FeatureEntry")
    add(described.message_type.add(name="Example"), "features", 1, field.TYPE_MESSAGE, of="Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(described)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tfunc.Example")), message.DecodeError


@functools.lru_cache(maxsize=1024)
def _head(size):
    length = struct.pack("<Q", size)
    return length + struct.pack("<I", _masked(google_crc32c.value(length)))


def _masked(checksum):
    """A checksum as the format has it: turned by 15 bits and moved, since one of data that hold their own is weak."""
    return (checksum >> 15 | checksum << 17) + 0xA282EAD8 & 0xFFFFFFFF


def _message(tag: bytes, pieces: Pieces) -> Pieces:
    return [tag, _varint(sum(map(len, pieces))), *pieces]


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have their highest bit set."""
    if value < 128:
        return bytes((value,))
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
