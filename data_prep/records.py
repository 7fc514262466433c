"""The schema of the records, version 1: the one place that writes and parses examples and reads the manifest.

One `tf.train.Example` is one slice. Its arrays are little-endian bytes with shape and dtype beside them, cropped in the
plane to the subject's bounding box; everything that is needed to undo the crop and to normalise is in each slice.

    subject, slice                              name and number
    shape [3], offset [2]                       depth, height, width of the whole; y0, x0 of the box
    image, image_shape, image_dtype             [height, width, channels] of the box, in the source's dtype
    label, label_shape, label_dtype             uint8 [height, width] of the box, where there is a ground truth
    regions, regions_shape, regions_dtype       likewise, the raw labels of BraTS
    mean, std                                   float32 [channels], of the whole volume
    train                                       1 if the slice is trained on

TensorFlow is imported where it is needed: reading the manifest takes none.
"""

import base64
import dataclasses
import functools
import hashlib
import json
import pathlib
import struct

import msgspec
import numpy as np

from data_prep import tasks
from data_prep.base import artefacts
from data_prep.base.errors import NotReady, UserError
from data_prep.subject import Subject
from data_prep.tasks import Task

SCHEMA_VERSION = 1
MANIFEST = "dataset.json"
# the entries of a task that its records depend on; one that is added later joins where it is not its default
IDENTIFYING = (
    "name", "form", "channels", "classes", "ignore", "regions", "inside", "trained", "axis", "spacing", "frame",
)  # fmt: skip
DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "float32")  # those that float32 arithmetic starts from


@dataclasses.dataclass(frozen=True)
class ShardEntry:
    """A file of the dataset: its name, size in bytes, number of records and SHA-256."""

    name: str
    bytes: int
    records: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class SubjectEntry:
    """What the manifest says of a subject: its records are `slices` many in `shard`, from `first_record` on."""

    name: str
    splits: tuple
    grade: str | None
    shard: str
    first_record: int
    slices: int
    training_slices: int
    shape: tuple  # (depth, height, width)
    labelled: bool
    source: str
    source_size: tuple | None
    header: bytes | None


@dataclasses.dataclass(frozen=True)
class Manifest:
    """`dataset.json`. height and width are None where the subjects differ; members and folds as in `splits.py`.

    task: what is segmented from what.  checksums: of the file that was read, as runs name records that were prepared
    before records had an identity.
    """

    dataset: str
    task: Task
    channels: tuple
    height: int | None
    width: int | None
    intensity: str
    label_map: object
    subjects: tuple
    shards: tuple
    members: tuple | None
    folds: tuple | None
    configuration: dict
    path: pathlib.Path
    checksums: tuple = ()

    @functools.cached_property
    def identity(self):
        """What a run knows these records by: a hash of their content and task, so the same data prepared anew are the same.

        Where they lie, what they were made from and how the JSON is written have no part in it.
        """
        task = {name: msgspec.to_builtins(getattr(self.task, name)) for name in IDENTIFYING}
        subjects = [
            (
                one.name,
                one.splits,
                one.shard,
                one.first_record,
                one.slices,
                one.training_slices,
                one.shape,
                one.labelled,
            )
            for one in self.subjects
        ]
        content = [task, [dataclasses.astuple(shard) for shard in self.shards], subjects, self.members, self.folds]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def is_same(self, identity):
        """Whether a run's record of its records, of any version of this toolkit, means these."""
        return identity == self.identity or identity in self.checksums

    def split(self, name):
        """The subjects of a split, in order: the shards' order."""
        return [subject for subject in self.subjects if name in subject.splits]

    def subject(self, name):
        """The entry of one subject; raises `UserError`."""
        for subject in self.subjects:
            if subject.name == name:
                return subject
        raise UserError(f"subject {name!r}", expected=f"one of the {len(self.subjects)} in {self.path}", found="none")


# Writing


def bounding_box(subject):
    """(y0, x0, height, width) of what is not zero in any slice's image, label or regions; zeros where nothing is."""
    image = subject.image
    used = image.any(axis=(0, 3))
    if image.dtype.kind == "f":
        used = used | np.signbit(image).any(axis=(0, 3))  # -0.0 counts, so that the round trip is exact to the bit
    for extra in (subject.label, subject.regions):
        if extra is not None:
            used = used | extra.any(axis=0)
    rows, columns = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


def subject_examples(subject):
    """Yields one serialized `tf.train.Example` a slice, all slices in order, cropped in the plane to the bounding box.

    Raises `UserError` for an image of a dtype that the schema doesn't have.
    """
    import tensorflow as tf

    if subject.image.dtype.name not in DTYPES:
        raise UserError(subject.source, expected=f"voxels of {', '.join(DTYPES)}", found=str(subject.image.dtype))
    y0, x0, height, width = bounding_box(subject)
    box = np.s_[y0 : y0 + height, x0 : x0 + width]
    train = subject.training_slices()
    common = {
        "subject": _bytes(subject.name.encode()),
        "offset": _integers((y0, x0)),
        "shape": _integers(subject.image.shape[:3]),
        "mean": _floats(subject.mean),
        "std": _floats(subject.std),
    }
    for index in range(len(subject.image)):
        features = {**common, "slice": _integers([index]), "train": _integers([train[index]])}
        for name in ("image", "label", "regions"):
            volume = getattr(subject, name)
            if volume is not None:
                features.update(_array(name, volume[index][box]))
        example = tf.train.Example(features=tf.train.Features(feature=features))
        yield example.SerializeToString(deterministic=True)  # so that equal data have equal checksums


def _bytes(value):
    import tensorflow as tf

    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _integers(values):
    import tensorflow as tf

    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in values]))


def _floats(values):
    import tensorflow as tf

    return tf.train.Feature(float_list=tf.train.FloatList(value=[float(value) for value in values]))


def _array(name, array):
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {
        name: _bytes(little.tobytes()),
        f"{name}_shape": _integers(array.shape),
        f"{name}_dtype": _bytes(array.dtype.name.encode()),
    }


# Parsing


def parse_slice(serialized, height, width, channels, labelled):
    """Parses one example, eagerly or in a `tf.data` pipeline.

    height, width: the size to pad to, at least the subject's own. labelled: whether a label must be there.
    Returns image float32 [height, width, channels], normalised exactly as `Subject.normalised` does; label uint8
    [height, width], zeros unless `labelled`; zero float32 [channels], what an intensity of 0 became; subject string, slice
    int64 and train bool, scalars.
    """
    import tensorflow as tf

    wanted = {
        "subject": tf.io.FixedLenFeature([], tf.string),
        "slice": tf.io.FixedLenFeature([], tf.int64),
        "train": tf.io.FixedLenFeature([], tf.int64),
        "offset": tf.io.FixedLenFeature([2], tf.int64),
        "mean": tf.io.FixedLenFeature([channels], tf.float32),
        "std": tf.io.FixedLenFeature([channels], tf.float32),
        "image": tf.io.FixedLenFeature([], tf.string),
        "image_shape": tf.io.FixedLenFeature([3], tf.int64),
        "image_dtype": tf.io.FixedLenFeature([], tf.string),
    }
    if labelled:
        wanted["label"] = tf.io.FixedLenFeature([], tf.string)
    parsed = tf.io.parse_single_example(serialized, wanted)
    image = tf.reshape(_decode(parsed["image"], parsed["image_dtype"]), parsed["image_shape"])
    around = _padding(parsed["offset"], parsed["image_shape"][:2], height, width)
    image = tf.ensure_shape(tf.pad(image, tf.concat([around, [[0, 0]]], axis=0)), [height, width, channels])
    label = tf.zeros([height, width], tf.uint8)
    if labelled:
        label = tf.reshape(tf.io.decode_raw(parsed["label"], tf.uint8), parsed["image_shape"][:2])
        label = tf.ensure_shape(tf.pad(label, around), [height, width])
    return {
        "image": (image - parsed["mean"]) / parsed["std"],
        "label": label,
        "zero": -parsed["mean"] / parsed["std"],
        "subject": parsed["subject"],
        "slice": parsed["slice"],
        "train": parsed["train"] > 0,
    }


def parse_key(serialized):
    """(subject string, slice int64, train bool) of one example, without decoding its arrays: what a filter needs."""
    import tensorflow as tf

    integer = tf.io.FixedLenFeature([], tf.int64)
    wanted = {"subject": tf.io.FixedLenFeature([], tf.string), "slice": integer, "train": integer}
    parsed = tf.io.parse_single_example(serialized, wanted)
    return parsed["subject"], parsed["slice"], parsed["train"] > 0


def _decode(data, dtype):
    """Bytes to float32, whichever of `DTYPES` they hold; only the branch that fits runs."""
    import tensorflow as tf

    def branch(name):
        return lambda: tf.cast(tf.io.decode_raw(data, tf.as_dtype(name)), tf.float32)

    known = tf.equal(dtype, tf.constant(DTYPES))
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_any(known), ["unknown image_dtype", dtype])]):
        index = tf.argmax(tf.cast(known, tf.int32), output_type=tf.int32)
    return tf.switch_case(index, [branch(name) for name in DTYPES])


def _padding(offset, size, height, width):
    import tensorflow as tf

    return tf.stack([offset, tf.constant([height, width], tf.int64) - offset - size], axis=1)


# Reading


def read_subject(data_dir, manifest, name):
    """The `Subject` of that name, equal to the bit to the one that was written. Raises `UserError`."""
    return next(read_subjects(data_dir, manifest, [name]))


def read_subjects(data_dir, manifest, names):
    """Yields the subjects of these names in this order; a shard is read once where the order follows the manifest's."""
    at, shard, stream = 0, None, None
    for name in names:
        entry = manifest.subject(name)
        if stream is None or shard != entry.shard or entry.first_record < at:
            at, shard = entry.first_record, entry.shard
            stream = _records(pathlib.Path(data_dir) / shard, skip=at)
        while at < entry.first_record:
            next(stream)
            at += 1
        yield _assemble(pathlib.Path(data_dir) / shard, entry, stream)
        at += entry.slices


def _records(path, skip=0):
    """Yields the serialized examples of a shard from number `skip` on; damage becomes a `UserError` that names it."""
    import tensorflow as tf

    index = skip
    try:
        for record in tf.data.TFRecordDataset(str(path)).skip(skip).as_numpy_iterator():
            yield record
            index += 1
    except tf.errors.DataLossError as error:
        raise locate_damage(path.parent, [path.name]) or _damaged(path, "intact records", error.message) from None
    raise _damaged(path, f"more than {index} records", "no more")


def _assemble(path, entry, stream):
    """Puts a subject's slices back into the full volume."""
    import tensorflow as tf

    arrays, shape = {}, (entry.slices, *entry.shape[1:])
    for index in range(entry.slices):
        features = tf.train.Example.FromString(next(stream)).features.feature
        found = (features["subject"].bytes_list.value[0].decode(), features["slice"].int64_list.value[0])
        if found != (entry.name, index):
            where = f"{path}, record {entry.first_record + index}"
            raise _damaged(where, f"slice {index} of {entry.name}", f"slice {found[1]} of {found[0]}")
        y0, x0 = features["offset"].int64_list.value
        for name in ("image", "label", "regions"):
            if name in features:
                part = _numpy(features, name)
                full = arrays.setdefault(name, np.zeros((*shape, *part.shape[2:]), part.dtype))
                full[index, y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
    statistics = {name: np.array(features[name].float_list.value, np.float32) for name in ("mean", "std")}
    return Subject(
        name=entry.name,
        **statistics,
        **arrays,
        header=entry.header,
        source=entry.source,
        source_size=entry.source_size,
    )


def _numpy(features, name):
    dtype = np.dtype(features[f"{name}_dtype"].bytes_list.value[0].decode())
    little = np.frombuffer(features[name].bytes_list.value[0], dtype.newbyteorder("<"))
    return little.reshape(tuple(features[f"{name}_shape"].int64_list.value)).astype(dtype, copy=False)


# The manifest


def read_manifest(data_dir):
    """Reads `dataset.json` and compares each shard's size with it (`verify` compares the checksums).

    Raises `NotReady` where the folder is absent or unfinished, and `UserError` for another schema version or a shard
    that is missing or of another size.
    """
    path = pathlib.Path(data_dir) / MANIFEST
    if not path.exists():
        raise NotReady(
            path,
            expected="prepared records",
            found="an unfinished folder" if path.parent.is_dir() else "no such folder",
            do="run `python launch/prepare.py --dataset=… --raw_dir=…` (the same command continues an unfinished one); "
            "without data of your own, `python launch/phantom.py` makes some first",
        )
    content = artefacts.read_json(path)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        do = "prepare the data again into another folder"
        raise UserError(path, expected=f"schema version {SCHEMA_VERSION}", found=repr(version), do=do)
    checksums = artefacts.sha256(path), _without_task(content)
    try:
        manifest = _manifest(path, upgrade(content, path), checksums)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, "every entry of the manifest", f"none or a wrong one for {error}") from None
    for shard in manifest.shards:
        file = path.parent / shard.name
        size = file.stat().st_size if file.exists() else None
        if size != shard.bytes:
            raise _damaged(file, f"{shard.bytes} bytes", "no file" if size is None else f"{size} bytes")
    return manifest


def upgrade(content, path):
    """A manifest of any earlier form as today's: those from before tasks get the task of their data set, as prepared."""
    if "task" in content:
        return content
    task, size = tasks.find(content["dataset"]), (content["height"], content["width"])
    if task.is_photograph:
        task = tasks.resolved(task, normalise=content["intensity"], frame=size)
    return {**content, "task": task.document()}


def _without_task(content):
    """Checksum of the file that an earlier version would have written for the same data."""
    before = {name: value for name, value in content.items() if name != "task"}
    return hashlib.sha256((json.dumps(before, indent=1) + "\n").encode()).hexdigest()


def _manifest(path, content, checksums):
    def subject(entry):
        header = entry["header"]
        tuples = {name: _tuple(entry[name]) for name in ("splits", "shape", "source_size")}
        return SubjectEntry(**{**entry, **tuples, "header": None if header is None else base64.b64decode(header)})

    names = {field.name for field in dataclasses.fields(Manifest)} - {"path", "subjects", "shards", "task", "checksums"}
    folds = content["folds"] and tuple(
        {part: tuple(names) for part, names in fold.items()} for fold in content["folds"]
    )
    return Manifest(
        **{name: content[name] for name in names - {"channels", "members", "folds"}},
        channels=tuple(content["channels"]),
        members=content["members"] and tuple(map(tuple, content["members"])),
        folds=folds,
        subjects=tuple(map(subject, content["subjects"])),
        shards=tuple(ShardEntry(**entry) for entry in content["shards"]),
        path=path,
        task=tasks.from_document(content["task"], path),
        checksums=checksums,
    )


def _tuple(value):
    return None if value is None else tuple(value)


def record_count(path):
    """Number of records of a TFRecord file, from the lengths alone. Raises `UserError` where they don't add up."""
    size, at, count = pathlib.Path(path).stat().st_size, 0, 0
    with open(path, "rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(8)
            at += 16 + struct.unpack("<Q", head)[0] if len(head) == 8 else size  # length, its CRC, data, its CRC
            if at > size:
                raise _damaged(f"{path}, record {count}", "a whole record", "the end of the file")
            count += 1
    return count


def verify(data_dir):
    """Compares every shard's checksum and record count with the manifest; returns it, raises `UserError`."""
    manifest = read_manifest(data_dir)
    for shard in manifest.shards:
        path = pathlib.Path(data_dir) / shard.name
        found = artefacts.sha256(path)
        if found != shard.sha256:
            raise locate_damage(data_dir, [shard.name]) or _damaged(path, f"checksum {shard.sha256}", found)
        records = record_count(path)
        if records != shard.records:
            raise _damaged(path, f"{shard.records} records", str(records))
    return manifest


def locate_damage(data_dir, shards):
    """The `UserError` naming the first damaged shard and record, or None; a pipeline's `DataLossError` names none."""
    import tensorflow as tf

    for name in shards:
        path, index = pathlib.Path(data_dir) / name, 0
        try:
            for _ in tf.data.TFRecordDataset(str(path)):
                index += 1
        except (tf.errors.DataLossError, tf.errors.NotFoundError) as error:
            return _damaged(f"{path}, record {index}", "an intact record", error.message.split("\n")[0])
    return None


def _damaged(where, expected, found):
    return UserError(where, expected=expected, found=found, do="remove the folder and prepare the data again")
