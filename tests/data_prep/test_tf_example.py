"""Records written without TensorFlow are TensorFlow's own bytes, checksums included."""

import io

import numpy as np
import pytest
import tensorflow as tf

from data_prep import tf_example

FEATURES = {
    "image": [b"\x00\xff" * 700],
    "image_shape": [0, 1, 127, 128, 300, 2**40],
    "image_dtype": [b"int16"],
    "mean": [0.1, -3.5, 1e30],
    "empty": [b""],
    "none": [],
}


def theirs(values):
    if values and isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def ours(values):
    if values and isinstance(values[0], bytes):
        return tf_example.of_bytes(values[0])
    return tf_example.of_floats(values) if values and isinstance(values[0], float) else tf_example.of_integers(values)


def written(features):
    return tf_example.example({name: tf_example.entry(name, ours(values)) for name, values in features.items()})


def test_an_example_is_tensorflows():
    """Every kind of list, empty ones, numbers of several bytes, and a name that begins others; in any order given."""
    made = tf.train.Features(feature={name: theirs(values) for name, values in FEATURES.items()})
    expected = tf.train.Example(features=made).SerializeToString(deterministic=True)
    assert written(FEATURES) == expected
    assert written(dict(reversed(FEATURES.items()))) == expected


def test_an_array_is_its_memory():
    array = np.arange(24, dtype="<i2").reshape(2, 3, 4)
    assert b"".join(tf_example.of_bytes(array)) == b"".join(tf_example.of_bytes(array.tobytes()))
    assert b"".join(tf_example.of_bytes(array[:0])) == b"".join(tf_example.of_bytes(b""))


def test_a_file_is_tensorflows(tmp_path):
    """Lengths on both sides of where checksums change their way, byte for byte, and read by TensorFlow."""
    generator = np.random.default_rng(0)
    records = [generator.bytes(size) for size in (0, 1, 63, 64, 2567, 45_481, 91_000, 270_001)]
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in records:
            writer.write(record)
    with open(tmp_path / "ours", "wb") as file:
        for record in records:
            file.writelines(tf_example.framed(record))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert list(tf.data.TFRecordDataset(str(tmp_path / "ours")).as_numpy_iterator()) == records


@pytest.mark.parametrize("at", [0, 12, 100_000, 199_999, 200_015])
def test_one_changed_bit_is_seen(at):
    """In a record's head, in it and in its checksum."""
    whole = b"".join(tf_example.framed(bytes(200_000)))
    assert next(tf_example.records(io.BytesIO(whole))) == bytes(200_000)
    damaged = bytearray(whole)
    damaged[at] ^= 4
    with pytest.raises(ValueError, match="record"):
        next(tf_example.records(io.BytesIO(bytes(damaged))))


def test_an_example_is_read_as_tensorflow_reads_it():
    """Every field of every kind, and one that TensorFlow itself wrote; bytes that are none are a `ValueError`."""
    ours = {
        "name": tf_example.of_bytes("süß".encode()),
        "shape": tf_example.of_integers((0, 7, 2**40)),
        "mean": tf_example.of_floats((0.1, -3.5e20)),
        "empty": tf_example.of_floats(()),
    }
    feature, floats = tf.train.Feature, tf.train.FloatList(value=[1.5, 2.5])
    theirs = tf.train.Example(features=tf.train.Features(feature={"x": feature(float_list=floats), "none": feature()}))
    for record in (
        tf_example.example({name: tf_example.entry(name, value) for name, value in ours.items()}),
        theirs.SerializeToString(),
        b"",
    ):
        found, expected = tf_example.parsed(record), tf.train.Example.FromString(record)
        assert set(found.features.feature) == set(expected.features.feature)
        for name, one in expected.features.feature.items():
            for kind in ("bytes_list", "float_list", "int64_list"):
                assert list(getattr(found.features.feature[name], kind).value) == list(getattr(one, kind).value)
    with pytest.raises(ValueError, match=r"no tf\.train\.Example"):
        tf_example.parsed(b"\xff\xff")


def test_where_records_begin(tmp_path):
    """Each found by its lengths is where TensorFlow's own writer put it; a length that was changed is found."""
    path, records = tmp_path / "a.tfrecord", [b"", b"a" * 5000, b"bc"]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    with open(path, "rb") as file:
        starts = tf_example.starts(file)
        for start, record in zip(starts, records, strict=True):
            file.seek(start)
            assert next(tf_example.records(file)) == record
    damaged = bytearray(path.read_bytes())
    damaged[int(starts[1])] ^= 1
    path.write_bytes(damaged)
    with open(path, "rb") as file, pytest.raises(ValueError, match="length"):
        tf_example.starts(file)
