"""Records give back what was written, to the bit, as a subject and as normalised slices; damage is named."""

import base64
import dataclasses
import json
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from data_prep import examples, normalisation, records, subject, tasks
from data_prep.base import artefacts
from data_prep.base.errors import NotReady, UserError

SHAPE = (5, 9, 7)


def volume(name="a", dtype="int16", seed=0, labelled=True, box=np.s_[:, 2:8, 1:6], shape=SHAPE, channels=4):
    """Noise in a box, zero around it; a middle slice that is empty."""
    generator = np.random.default_rng(seed)
    image, raw_label = np.zeros((*shape, channels), dtype), np.zeros(shape, np.uint8)
    inside = image[box].shape
    image[box] = generator.integers(1, 120, inside) if dtype != "float32" else generator.normal(size=inside) * 1e3
    raw_label[box] = generator.choice([0, 0, 1, 2, 4], inside[:3])
    image[shape[0] // 2], raw_label[shape[0] // 2] = 0, 0
    label = (raw_label > 0).astype(np.uint8)
    mean, std = normalisation.zscore_statistics(image, name)
    truth = {"label": label, "raw_label": raw_label} if labelled else {}
    return subject.Subject(name, image, mean, std, **truth, header=bytes(range(256)) + bytes(92), source=f"{name}.nii")


def photograph(name="p"):
    image = np.random.default_rng(1).integers(0, 256, (1, 6, 8, 3)).astype(np.uint8)
    statistics = normalisation.intensity_statistics(image, "minmax")
    return subject.Subject(name, image, *statistics, label=image[..., 0] % 2, source="p.jpg", source_size=(60, 80))


def task_of(made):
    return tasks.TASKS["isic" if made.is_photograph else "brats"]


def examples_of(made):
    return records.subject_examples(made, task_of(made))


def dataset(folder, subjects):
    """A finished folder with all subjects in one shard, made without `convert`."""
    path, first, entries = folder / "train-00000-of-00001.tfrecord", 0, []
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for made in subjects:
            for example in examples_of(made):
                writer.write(example)
            entry = {"name": made.name, "splits": ["train"], "grade": None, "shard": path.name, "first_record": first}
            entry |= {"slices": len(made.image), "training_slices": int(made.training_slices(task_of(made)).sum())}
            entry |= {"shape": made.image.shape[:3], "labelled": made.label is not None, "source": made.source}
            header = made.header and base64.b64encode(made.header).decode()
            entries.append({**entry, "source_size": made.source_size, "header": header})
            first += len(made.image)
    shard = {"name": path.name, "bytes": path.stat().st_size, "records": first, "sha256": artefacts.sha256(path)}
    content = {"schema_version": 1, "dataset": "brats", "channels": ["flair", "t1", "t2", "t1ce"], "label_map": None}
    content |= {"intensity": "zscore", "height": 9, "width": 7, "shards": [shard], "subjects": entries}
    artefacts.write_json(folder / "dataset.json", {**content, "members": None, "folds": None, "configuration": {}})
    return path


def assert_equal(found, expected):
    """Every field, arrays to the bit and in their dtype."""
    for field in dataclasses.fields(subject.Subject):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
        else:
            assert one == other, field.name


SUBJECTS = {
    "int16": volume(),
    "float32": volume(dtype="float32"),
    "unlabelled": volume(labelled=False),
    "touching the border": volume(box=np.s_[:, :, :]),
    "touching one corner": volume(box=np.s_[:, 6:, 3:]),
    "photograph": photograph(),
    **{dtype: volume(dtype=dtype) for dtype in ("uint8", "int8", "uint16", "int32")},
}


@pytest.fixture(params=SUBJECTS, ids=[name.replace(" ", "_") for name in SUBJECTS])
def made(request):
    return SUBJECTS[request.param]


def test_round_trip_is_exact_to_the_bit(made, tmp_path):
    """Crop undone, dtypes kept, header and source from the manifest; others in the shard don't interfere."""
    others = [volume("b", seed=1), volume("c", seed=2)]
    dataset(tmp_path, [others[0], made, others[1]])
    manifest = records.read_manifest(tmp_path)
    assert_equal(records.read_subject(tmp_path, manifest, made.name), made)


@pytest.mark.parametrize("pipeline", [False, True], ids=["eager", "pipeline"])
def test_parsing_equals_the_normalised_subject(made, pipeline):
    """float32 equality with `Subject.normalised`, eagerly and in a tf.data pipeline."""
    examples, (depth, height, width, channels) = list(examples_of(made)), made.image.shape
    labelled = made.label is not None

    def parse(example):
        return records.parse_slice(example, height, width, channels, labelled)

    if pipeline:
        parsed = list(tf.data.Dataset.from_tensor_slices(examples).map(parse))
    else:
        parsed = [parse(tf.constant(example)) for example in examples]
    assert len(parsed) == depth
    image = np.stack([p["image"] for p in parsed])
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, made.normalised())
    label = np.stack([p["label"] for p in parsed])
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, made.label if labelled else np.zeros(made.image.shape[:3]))
    assert [p["slice"].numpy() for p in parsed] == list(range(depth))
    assert [p["train"].numpy() for p in parsed] == made.training_slices(task_of(made)).tolist()
    assert {p["subject"].numpy() for p in parsed} == {made.name.encode()}


def test_a_pipeline_has_static_shapes():
    """Batching and networks need them."""
    mapped = tf.data.Dataset.from_tensors(b"").map(lambda x: records.parse_slice(x, 9, 7, 4, True))
    assert mapped.element_spec["image"] == tf.TensorSpec((9, 7, 4), tf.float32)
    assert mapped.element_spec["label"] == tf.TensorSpec((9, 7), tf.uint8)


def test_dtypes_may_differ_within_a_pipeline():
    """One subject of integers, one of floats."""
    both = [SUBJECTS["int16"], SUBJECTS["float32"]]
    examples = [example for made in both for example in examples_of(made)]
    mapped = tf.data.Dataset.from_tensor_slices(examples).map(lambda x: records.parse_slice(x, *SHAPE[1:], 4, True))
    image = np.stack([p["image"] for p in mapped.as_numpy_iterator()])
    np.testing.assert_array_equal(image, np.concatenate([made.normalised() for made in both]))


def test_parsing_pads_to_a_larger_size():
    """Subjects of different sizes meet in one batch, each in the middle; the padding is background."""
    made = SUBJECTS["int16"]
    parsed = records.parse_slice(next(examples_of(made)), 12, 10, 4, True)
    larger = np.pad(made.image[0], ((1, 2), (1, 2), (0, 0))).astype(np.float32)
    np.testing.assert_array_equal(parsed["image"], (larger - made.mean) / made.std)


def test_a_label_that_must_be_there_is_missed():
    """No silent zeros where training wants labels."""
    with pytest.raises(tf.errors.InvalidArgumentError, match="label"):
        records.parse_slice(next(examples_of(SUBJECTS["unlabelled"])), 9, 7, 4, True)


def test_schema():
    """The features, their crop and their dtypes, as other programs may read them."""
    made = SUBJECTS["int16"]
    examples = [tf.train.Example.FromString(e).features.feature for e in examples_of(made)]
    feature = examples[0]
    assert list(feature["image_shape"].int64_list.value) == [6, 5, 4]
    assert list(feature["offset"].int64_list.value) == [2, 1]
    assert list(feature["shape"].int64_list.value) == list(SHAPE)
    assert feature["image_dtype"].bytes_list.value[0] == b"int16"
    assert feature["image"].bytes_list.value[0] == made.image[0, 2:8, 1:6].astype("<i2").tobytes()
    assert feature["regions"].bytes_list.value[0] == made.raw_label[0, 2:8, 1:6].tobytes()
    assert feature["label_dtype"].bytes_list.value[0] == b"uint8"
    np.testing.assert_array_equal(np.float32(feature["std"].float_list.value), made.std)
    unlabelled = tf.train.Example.FromString(next(examples_of(volume(labelled=False))))
    assert "label" not in unlabelled.features.feature


def test_big_endian_arrays_become_little_endian():
    """Whatever order the source's array is in."""
    made = SUBJECTS["int16"]
    swapped = dataclasses.replace(made, image=made.image.astype(">i2"))
    assert list(examples_of(swapped)) == list(examples_of(made))


def test_the_box_holds_labels_raw_labels_and_negative_zeros():
    """What is outside the image's own box but not nothing is kept."""
    label, raw_label, image = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8), np.zeros((*SHAPE, 4), np.float32)
    one = np.ones(4, np.float32)
    empty = subject.Subject("a", image, 0 * one, one, label, raw_label)
    assert examples.bounding_box(empty) == (0, 0, 0, 0)
    label[3, 1, 2], raw_label[1, 8, 6] = 1, 1
    assert examples.bounding_box(empty) == (1, 2, 8, 5)
    image[0, 0, 4, 1] = -0.0
    assert examples.bounding_box(empty) == (0, 2, 9, 5)


def test_a_black_photograph_survives(tmp_path):
    """Its box is empty."""
    image = np.zeros((1, 6, 8, 3), np.uint8)
    statistics = normalisation.intensity_statistics(image, "unit")
    black = subject.Subject("p", image, *statistics, label=image[..., 0], source="p.jpg", source_size=(60, 80))
    dataset(tmp_path, [black])
    assert_equal(records.read_subject(tmp_path, records.read_manifest(tmp_path), "p"), black)
    parsed = records.parse_slice(next(examples_of(black)), 6, 8, 3, True)
    assert not parsed["image"].numpy().any() and parsed["image"].shape == (6, 8, 3)


def test_other_dtypes_are_refused():
    """float64 would be rounded without a word."""
    made = dataclasses.replace(SUBJECTS["int16"], image=SUBJECTS["int16"].image.astype(np.float64))
    with pytest.raises(UserError, match=r"a\.nii.*float64"):
        next(examples_of(made))


def test_subjects_are_read_in_any_order(tmp_path):
    """Forward in one pass, backward and twice too."""
    subjects = {name: volume(name, seed=i) for i, name in enumerate("abcd")}
    dataset(tmp_path, subjects.values())
    manifest = records.read_manifest(tmp_path)
    for order in ("abcd", "bd", "dcba", "aab"):
        for name, found in zip(order, records.read_subjects(tmp_path, manifest, order), strict=True):
            assert_equal(found, subjects[name])
    with pytest.raises(UserError, match="'z'"):
        records.read_subject(tmp_path, manifest, "z")


# The manifest


def test_a_manifest_is_read(tmp_path):
    """Tuples, bytes and entries as declared; splits in order."""
    dataset(tmp_path, [volume("a"), volume("b", seed=1)])
    manifest = records.verify(tmp_path)
    assert manifest.channels == ("flair", "t1", "t2", "t1ce") and manifest.members is None
    assert [entry.name for entry in manifest.split("train")] == ["a", "b"] and manifest.split("test") == []
    entry = manifest.subject("b")
    assert (entry.first_record, entry.shape, entry.splits) == (5, SHAPE, ("train",))
    assert entry.header == volume().header and manifest.path == tmp_path / "dataset.json"


def test_absent_and_unfinished_folders_name_the_commands(tmp_path):
    """Exit code 3, with prepare and phantom."""
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(NotReady, match=r"launch/prepare\.py.*launch/phantom\.py"):
            records.read_manifest(folder)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda c: c.update(schema_version=3), "schema version 1 or 2, found 3"),
        (
            lambda c: c.pop("schema_version"),
            r"dataset\.json: expected prepared records, found .* raw data .*prepare\.py",
        ),
        (lambda c: c.pop("channels"), "channels"),
        (lambda c: c["subjects"][0].pop("shape"), "shape"),
        (lambda c: c["shards"][0].update(bytes=5), "5 bytes"),
        (lambda c: c["shards"][0].update(name="x.tfrecord"), r"x\.tfrecord.*no file"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path, change, match):
    """Each message names the file."""
    dataset(tmp_path, [volume()])
    content = artefacts.read_json(tmp_path / "dataset.json")
    change(content)
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=match):
        records.read_manifest(tmp_path)


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_damage_is_named_by_shard_and_record(tmp_path):
    """One flipped bit in the eighth record of ten."""
    path = dataset(tmp_path, [volume("a"), volume("b", seed=1)])
    lengths = [len(record) + 16 for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    flip(path, sum(lengths[:7]) + 40)
    manifest = records.read_manifest(tmp_path)
    assert_equal(records.read_subject(tmp_path, manifest, "a"), volume("a"))
    for act in (lambda: records.read_subject(tmp_path, manifest, "b"), lambda: records.verify(tmp_path)):
        with pytest.raises(UserError, match=r"train-00000-of-00001\.tfrecord, record 7"):
            act()
    assert "record 7" in str(records.locate_damage(tmp_path, [path.name]))
    assert records.record_count(path) == 10


def test_verify_finds_what_sizes_do_not_tell(tmp_path):
    """Another shard of the same size, intact in itself."""
    path = dataset(tmp_path, [volume("a")])
    other = dataset(tmp_path / "other", [volume("a", seed=9, box=np.s_[:, 2:8, 1:6])])
    path.write_bytes(other.read_bytes())
    records.read_manifest(tmp_path)
    assert records.locate_damage(tmp_path, [path.name]) is None
    with pytest.raises(UserError, match="checksum"):
        records.verify(tmp_path)


def test_records_of_another_subject_are_not_taken(tmp_path):
    """The manifest and the records must agree."""
    dataset(tmp_path, [volume("a"), volume("b", seed=1)])
    manifest = records.read_manifest(tmp_path)
    shifted = dataclasses.replace(manifest.subjects[1], first_record=4)
    with pytest.raises(UserError, match=r"record 4.*slice 0 of b.*slice 4 of a"):
        records.read_subject(tmp_path, dataclasses.replace(manifest, subjects=(shifted,)), "b")
    beyond = dataclasses.replace(manifest.subjects[1], slices=6)
    with pytest.raises(UserError, match="no more"):
        records.read_subject(tmp_path, dataclasses.replace(manifest, subjects=(beyond,)), "b")


def test_a_truncated_file_is_counted_with_complaint(tmp_path):
    """The end in the middle of a record, or of its length."""
    path = dataset(tmp_path, [volume("a")])
    whole = path.read_bytes()
    for end in (len(whole) - 3, len(whole) - len(whole) // 5 + 4):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError, match="record 4"):
            records.record_count(path)


def test_stamps_are_left_out_where_nobody_asks(brats_data):
    """They are half of a manifest; everything else of it is the same, and so is what a run knows it by."""
    whole, short = (records.read_manifest(brats_data, stamped) for stamped in (True, False))
    assert all(entry.files for entry in whole.subjects) and not any(entry.files for entry in short.subjects)
    assert tuple(dataclasses.replace(entry, files=()) for entry in whole.subjects) == short.subjects
    assert whole.identity == short.identity


@pytest.mark.long
def test_a_manifest_of_many_is_never_in_memory_as_text(tmp_path):
    """What reading takes at most is what is kept of subjects: less than their text, of which a quarter is stamps."""
    dataset(tmp_path, [volume()])
    content = artefacts.read_json(tmp_path / "dataset.json")
    stamps = {"files": [{"name": f"raw/{name}", "sha256": "0" * 64, "size": 1, "time": 2} for name in "xy"]}
    one = {**content["subjects"][0], **stamps}
    content["subjects"] = [{**one, "name": f"subject{index}"} for index in range(2000)]
    artefacts.write_document(tmp_path / "dataset.json", content)
    size = (tmp_path / "dataset.json").stat().st_size
    del content
    for stamped in (True, False):
        records.read_manifest(tmp_path, stamped=stamped)  # what is imported or cached on the way
    tracemalloc.start()
    try:
        manifest = records.read_manifest(tmp_path, stamped=False)
        kept, most = tracemalloc.get_traced_memory()
        assert len(manifest.subjects) == 2000 and not manifest.subjects[0].files
        assert most < 0.9 * size and most < 1.3 * kept, (size, kept, most)
    finally:
        tracemalloc.stop()
