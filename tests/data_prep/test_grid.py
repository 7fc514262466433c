"""The grid of a volume: its order, axis, spacing and frame found from all subjects, and the way there and back exact in place."""

import dataclasses

import msgspec
import nibabel
import numpy as np
import own_folders
import pytest

from data_prep import examples, grid, normalisation, place, records, tasks, voxel_order, windows
from data_prep.base import pool
from data_prep.base.errors import UserError
from data_prep.readers import nnunet
from data_prep.tasks import Channel, Class, Region, Window

RANDOM = np.random.default_rng(5)


def task(**changes):
    """A task of one CT channel and three classes, before anything is found from its subjects."""
    classes = (Class("background", (0,)), Class("liver", (1,)), Class("tumour", (5, 2)))
    plain = msgspec.structs.replace(
        tasks.TASKS["brats"],
        name="own",
        channels=(Channel("CT", "none", -1024.0),),
        classes=classes,
        regions=(Region("liver", "liver", (1, 2)), Region("tumour", "tumour", (2,))),
        ignore=9,
        inside=None,
        trained="all",
        axis=None,
        show=("CT",),
    )
    return msgspec.structs.replace(plain, **changes)


def header(order, spacing, shape, oblique=0.0):
    """(348 bytes, affine) of an image of `shape` (x, y, z) in a voxel order; oblique: turned by so many degrees about z."""
    signs = {"L": (0, -1), "R": (0, 1), "P": (1, -1), "A": (1, 1), "I": (2, -1), "S": (2, 1)}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, letter in enumerate(order):
        row, sign = signs[letter]
        affine[row, axis] = sign * spacing[axis]
    angle = np.radians(oblique)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = turn @ affine
    affine[:3, 3] = RANDOM.normal(0, 30, 3)
    made = nibabel.Nifti1Header(endianness="<")
    made.set_data_shape(shape)
    made.set_sform(affine, 1)
    made.set_qform(affine, 1)
    block = made.binaryblock
    return block, place.of_block(block, "it")


def places(*kinds):
    return {
        str(index): grid.Place(shape[::-1], header(order, spacing, shape)[1])
        for index, (order, spacing, shape) in enumerate(kinds)
    }


@pytest.mark.parametrize(
    ("spacing", "order"),
    [((1, 1, 3), "LPS"), ((3, 1, 1), "PIL"), ((1, 3, 1), "LIP"), ((1, 1, 1), "LPS"), ((1.005, 1, 1), "LPS")],
)
def test_slices_are_taken_along_the_coarsest_axis(spacing, order):
    """Superior-inferior where the axes are alike; the letters say axis and directions at once."""
    found = grid.fitted(task(), places(("RAS", spacing, (10, 12, 14)), ("RAS", spacing, (10, 12, 14))))
    assert (found.order, found.axis) == (order, {"LPS": 2, "LIP": 1, "PIL": 0}[order])
    assert found.spacing is None


def test_spacings_that_differ_are_brought_to_their_median():
    """More than a tenth apart; the frame holds the largest slice on that grid, in multiples of 16."""
    kinds = [("LPS", (1, 1, 5), (40, 30, 8)), ("RAS", (1.05, 1.05, 5), (40, 30, 8)), ("PIR", (2, 5, 2), (30, 8, 40))]
    same = grid.fitted(task(), places(*kinds[:2]))
    assert same.spacing is None and same.frame == (32, 48)
    mixed = grid.fitted(task(), places(*kinds))
    assert mixed.spacing == pytest.approx((1.05, 1.05)) and mixed.order == "LPS"
    # the third: 30 voxels of 2 mm along P, 40 of 2 mm along R
    assert mixed.frame == (64, 80)


def test_what_a_task_says_itself_stays():
    chosen = grid.fitted(task(axis=0, spacing=(2.0, 3.0), frame=(48, 48)), places(("LPS", (1, 1, 5), (40, 30, 8))))
    assert (chosen.order, chosen.spacing, chosen.frame) == ("PIL", (2.0, 3.0), (48, 48))


def test_a_frame_that_cuts_is_refused():
    """Nothing is cut off: a frame that a user says must hold the largest slice, on its spacing where it has one."""
    large = places(("LPS", (1, 1, 5), (20, 20, 8)), ("LPS", (1, 1, 5), (40, 30, 8)))
    with pytest.raises(UserError, match="make it at least 30 x 40, as 1 has"):
        grid.fitted(task(frame=(32, 32)), large)
    assert grid.fitted(task(frame=(32, 32), spacing=(2.0, 2.0)), large).frame == (32, 32)


def volume(order, spacing, oblique, fitted, shape=(26, 22, 9)):
    block, affine = header(order, spacing, shape, oblique)
    array = RANDOM.integers(-1000, 1000, shape[::-1]).astype(np.int16)
    label = RANDOM.choice(np.array([0, 1, 2, 5, 9], np.uint8), shape[::-1])
    made = grid.volume(
        name="a",
        channels=[array],
        raw_label=label,
        label_path="a.nii.gz",
        header=block,
        affine=affine,
        source="a",
        task=fitted,
    )
    return made, array, label, affine


@pytest.mark.parametrize("oblique", [0.0, 12.0])
@pytest.mark.parametrize("order", ["RAS", "LPS", "PIR", "SLA"])
def test_the_way_back_is_exact(order, oblique):
    """Arrays of every orientation come back voxel by voxel; labels become classes, the ignored one counts nowhere."""
    fitted = msgspec.structs.replace(task(), order="LPS", frame=(32, 32))
    made, array, label, _ = volume(order, (1.0, 1.5, 4.0), oblique, fitted)
    assert made.order == "LPS" and made.own_size is None
    np.testing.assert_array_equal(made.restored(made.image)[..., 0], array)
    expected = np.select([label == 0, label == 1, label == 9], [0, 1, tasks.IGNORED], 2)
    np.testing.assert_array_equal(made.native().label, expected)


@pytest.mark.parametrize("oblique", [0.0, 12.0])
@pytest.mark.parametrize("order", ["RAS", "LPS", "PIR"])
def test_landmarks_stay_where_they_are_in_the_patient(order, oblique):
    """A point marked on the network's grid is found back within half a voxel, in millimetres, on the image's own grid."""
    spacing = {"RAS": (1.0, 1.4, 4.0), "LPS": (0.7, 0.9, 5.0), "PIR": (1.0, 4.0, 1.3)}[order]
    fitted = msgspec.structs.replace(task(), order="LPS", spacing=(1.1, 1.1), frame=(64, 64))
    shape = (26, 9, 22) if order == "PIR" else (26, 22, 9)
    made, array, _, affine = volume(order, spacing, oblique, fitted, shape)
    assert made.own_size is not None
    for x, y, z in [(20, 3, 2), (4, 5, 7), (13, 6, 4)]:
        blob = np.zeros(array.shape, np.float32)  # on the image itself
        zz, yy, xx = np.indices(array.shape)
        distance = sum((axis - at) ** 2 for axis, at in ((zz, z), (yy, y), (xx, x)))
        blob = np.exp(-distance / 6).astype(np.float32)
        on_network = grid.to_network(blob, made.image.shape[1:3], made.header, made.order)
        assert on_network.shape == made.image.shape[:3]
        back = made.restored(on_network)
        assert back.shape == array.shape
        weight = np.where(distance < 12, back, 0).astype(np.float64)
        centre = [float((axis * weight).sum() / weight.sum()) for axis in (xx, yy, zz)]
        plain = np.where(distance < 12, blob, 0).astype(np.float64)
        true = [float((axis * plain).sum() / plain.sum()) for axis in (xx, yy, zz)]
        gap = affine[:3, :3] @ (np.array(centre) - true)
        assert np.linalg.norm(gap) < 0.5 * min(spacing)


def test_labels_at_their_own_size_are_kept():
    """Evaluation happens on the image's own grid, so the label there is the one that was read."""
    fitted = msgspec.structs.replace(task(), order="LPS", spacing=(2.0, 2.0), frame=(32, 32))
    made, array, label, _ = volume("RAS", (1.0, 1.5, 4.0), 0, fitted)
    assert made.label.shape == made.image.shape[:3] != made.own_label.shape
    own = made.native()
    assert own.image.shape[:3] == own.label.shape == array.shape
    np.testing.assert_array_equal(own.label == tasks.IGNORED, label == 9)


def test_records_hold_all_of_it(tmp_path):
    """What is written is what is read: classes, ignored voxels, limits, the label at its own size; padded with air."""
    import tensorflow as tf

    fitted = msgspec.structs.replace(
        task(channels=(Channel("CT", "ct", -1024.0, Window(-200, 300, 40, 60)),)),
        order="LPS",
        spacing=(2.0, 2.0),
        frame=(32, 32),
    )
    made, *_ = volume("RAS", (1.0, 1.5, 4.0), 0, fitted)
    made.image[:, :3] = -1024
    made = dataclasses.replace(made, label=np.where(made.image[..., 0] == -1024, 0, made.label), raw_label=None)
    assert examples.version(fitted) == 2
    written = list(records.subject_examples(made, fitted))
    height, width = made.image.shape[1:3]
    parsed = records.parse_slice(written[2], 32, 32, 1, True)
    y0, x0 = (32 - height) // 2, (32 - width) // 2
    place_ = np.s_[y0 : y0 + height, x0 : x0 + width]
    np.testing.assert_array_equal(parsed["image"].numpy()[place_], made.normalised()[2])
    np.testing.assert_array_equal(parsed["label"].numpy()[place_], made.label[2])
    around = np.ones((32, 32), bool)
    around[place_] = False
    air = np.float32((-200 - 40) / 60)
    assert (parsed["image"].numpy()[around] == air).all() and parsed["zero"].numpy() == air
    assert not parsed["label"].numpy()[around].any()

    file = tmp_path / "train-00000-of-00001.tfrecord"
    with tf.io.TFRecordWriter(str(file)) as writer:
        for example in written:
            writer.write(example)
    entry = records.SubjectEntry(
        "a", ("train",), None, file.name, 0, len(written), 9, made.image.shape[:3], True, "a", None, made.header
    )
    read = next(records.read_subjects(tmp_path, _Manifest(fitted, entry), ["a"]))
    for field in ("image", "label", "own_label", "limits", "mean", "std"):
        np.testing.assert_array_equal(getattr(read, field), getattr(made, field))
    assert read.own_size == made.own_size and read.order == "LPS"
    np.testing.assert_array_equal(read.native().label, made.native().label)


@dataclasses.dataclass
class _Manifest:
    task: tasks.Task
    entry: records.SubjectEntry

    def subject(self, name):
        return self.entry


def test_a_strange_label_is_named():
    fitted = msgspec.structs.replace(task(), order="LPS")
    with pytest.raises(
        UserError,
        match=r"a\.nii\.gz: expected labels of own: 0 background, 1 liver, 5/2 tumour, 9 ignored, found 7 too",
    ):
        fitted.class_of(np.array([0, 7], np.uint8), "a.nii.gz")


def test_rules_by_channel():
    """Each channel by its own rule, against NumPy; limits only where ct is."""
    image = RANDOM.normal(50, 20, (4, 6, 5, 5)).astype(np.float32)
    image[:2, ..., 1] = 0
    window = Window(30, 70, 51, 19)
    channels = [
        Channel("a", "zscore"),
        Channel("b", "zscore_nonzero"),
        Channel("c", "ct", -1024, window),
        Channel("d", "minmax"),
        Channel("e", "none"),
    ]
    mean, std, limits = normalisation.by_channel(image, channels)
    a, b, d = image[..., 0], image[2:, ..., 1], image[..., 3]
    np.testing.assert_allclose(mean, [a.mean(), b.mean(), 51, d.min(), 0], rtol=1e-5)
    np.testing.assert_allclose(std, [a.std(), b.std(), 19, np.ptp(d), 1], rtol=1e-5)
    np.testing.assert_array_equal(limits[:, 2], [30, 70])
    assert normalisation.by_channel(image[..., :2], channels[:2])[2] is None


def test_ct_is_measured_on_the_foreground_it_is_given():
    """Percentiles, mean and deviation of NumPy over the subjects' foreground voxels."""
    values = RANDOM.normal(60, 25, (2, 3, 8, 8)).astype(np.int16)
    label = (RANDOM.random((2, 3, 8, 8)) > 0.5).astype(np.uint8)
    label[0, 0, 0] = tasks.IGNORED

    class Reader:
        @staticmethod
        def load(source, options, task):
            index = int(source.name)
            return dataclasses.replace(
                volume("LPS", (1, 1, 1), 0, task)[0], image=values[index][..., None], label=label[index]
            )

    class Fake(tasks.Task, frozen=True):
        def load_reader(self):
            return Reader

    asked = task(channels=(Channel("CT", "ct", -1024.0),), order="LPS")
    fake = Fake(**{name: getattr(asked, name) for name in asked.__struct_fields__})
    source = dataclasses.make_dataclass("S", ["name"])
    found = windows.measured(fake, [source("0"), source("1")], {}, pool.Serial(), 1).channels[0].window
    inside = values[(label == 1)].astype(np.float64)
    assert [found.low, found.high] == pytest.approx(np.percentile(inside, (0.5, 99.5)))
    assert [found.mean, found.std] == pytest.approx([inside.mean(), inside.std()], rel=1e-5)


def test_ct_of_subjects_that_cannot_be_read(tmp_path):
    """Where no training subject can be read, that is what is said, and not that there is no foreground."""
    folder = own_folders.nnunet(tmp_path / "D", values=(1, 7))
    sources = nnunet.find(folder)[:3]
    with pytest.raises(UserError, match=r"case_00.nii.gz: expected labels of D: .*, found 7 too"):
        windows.measured(nnunet.task(folder), sources, {}, pool.Serial(), 1)


def test_order_of_a_place():
    """Shape and spacing follow the axes, whichever letters they have."""
    block, affine = header("PIR", (1, 2, 3), (10, 20, 30))
    assert voxel_order.of_header(block) == "PIR"
    shape, spacing = grid.Place((30, 20, 10), affine).in_order("LPS")
    assert shape == [20, 10, 30] and spacing == pytest.approx([2, 1, 3])
