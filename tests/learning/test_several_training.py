"""Networks of four classes: what each learns, what selects its epoch, and trainings from records to finished weights."""

import shutil

import msgspec
import nibabel
import numpy as np
import pytest
import tensorflow as tf
from conftest import BRATS_SHAPE, TINY, make_config, make_trainer
from made_up import manifest
from scipy import special

from data_prep import records, tasks, voxel_order
from data_prep.base.errors import NotReady, UserError
from data_prep.readers import nifti
from tfunc import methods, networks, runs
from tfunc.learning import augmentation, losses
from tfunc.learning.fit import fit
from tfunc.learning.monitor import fullest_slices
from tfunc.learning.objectives import contract
from tfunc.learning.second_input import SecondInput, bits_of, pack
from tfunc.learning.selection import dice_score, mean_dice
from tfunc.learning.settings import defaults, heldout_folders
from tfunc.nets import classes, trained

TASK = tasks.TASKS["brats_regions"]
IGNORING = msgspec.structs.replace(TASK, ignore=9)
REGIONS = [region.classes for region in TASK.regions]
SHAPE = (3, 8, 12)


def batch(count=4, ignored=True, seed=0):
    """A batch by hand: random images and classes, a fifth of the voxels ignored, the last slice all of it."""
    random = np.random.default_rng(seed)
    label = random.integers(0, count, SHAPE, np.uint8)
    if ignored:
        label[random.random(SHAPE) < 0.2] = tasks.IGNORED
        label[2] = tasks.IGNORED
    made = {
        "image": random.normal(size=(*SHAPE, 4)).astype("f4"),
        "label": label,
        "segmentation": random.integers(0, count, SHAPE, np.uint8),
    }
    return {name: tf.constant(values) for name, values in made.items()}


def objective(name, task, shaken, **settings):
    config = make_config(name, manifest(task=task), **settings)
    base = None
    if config.network.base:
        below = make_config(config.network.base, manifest(task=task))
        base = shaken(trained.untrained(below))
    made = contract.find(config.network.objective)(config, base)
    shaken(made.model, 1)
    return made, config


def in_regions(index, known):
    return np.stack([np.isin(index, region) & known for region in REGIONS], axis=-1)


@pytest.mark.long
@pytest.mark.parametrize("task", [TASK, IGNORING], ids=["all", "ignoring"])
@pytest.mark.parametrize("name", ["baseline", "aleatoric"])
def test_segmentation_by_regions(shaken, task, name):
    """The loss over what counts; predicted and true regions of the argmax, an ignored voxel in none of them."""
    made, config = objective(name, task, shaken)
    given = batch(ignored=task.ignore is not None)
    label, known = given["label"].numpy(), given["label"].numpy() != tasks.IGNORED
    loss, predicted, target = made.rows(given, False, None, tf.constant([0, 0]))
    outputs = made.model(given["image"])
    logits = (outputs[0] if name == "aleatoric" else outputs).numpy()
    assert config.network.classes == logits.shape[-1] == 4
    np.testing.assert_array_equal(predicted, in_regions(logits.argmax(-1), known))
    np.testing.assert_array_equal(target, in_regions(label, known))
    if name == "baseline":
        log = special.log_softmax(logits.astype(np.float64), axis=-1)
        picked = np.take_along_axis(log, np.where(known, label, 0)[..., None].astype(int), axis=-1)[..., 0]
        expected = [-row[which].mean() if which.any() else 0 for row, which in zip(picked, known, strict=True)]
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert np.isfinite(loss).all() and bool(loss[2] == 0) == (task.ignore is not None)
    probability, target = made.show(given)
    assert probability.shape == (*SHAPE, 4)
    np.testing.assert_array_equal(target, label)


@pytest.mark.long
@pytest.mark.parametrize("task", [TASK, IGNORING], ids=["all", "ignoring"])
@pytest.mark.parametrize("name", ["auxiliary_feat", "auxiliary_segm"])
def test_an_error_is_any_wrong_class(shaken, task, name):
    """One region: where the segmentation, the baseline's or a written one, has another class; ignored voxels nowhere."""
    made, config = objective(name, task, shaken)
    given = batch(ignored=task.ignore is not None)
    label, known = given["label"].numpy(), given["label"].numpy() != tasks.IGNORED
    loss, predicted, target = made.rows(given, False, None, tf.constant([0, 0]))
    if name == "auxiliary_feat":
        wrong = made.base(given["image"]).numpy().argmax(-1) != label
        logits = made.model(made.base.features(given["image"]))
    else:
        wrong = given["segmentation"].numpy() != label
        one_hot = np.eye(4, dtype="f4")[given["segmentation"].numpy()]
        logits = made.model(np.concatenate([given["image"], one_hot], axis=-1))
    assert config.network.classes == logits.shape[-1] == 2
    np.testing.assert_array_equal(target, (wrong & known)[..., None])
    np.testing.assert_array_equal(predicted, ((logits[..., 1] > logits[..., 0]).numpy() & known)[..., None])
    counted = tf.constant(known) if task.ignore is not None else None
    np.testing.assert_allclose(loss, losses.cross_entropy_rows(logits, wrong, counted), rtol=1e-5)
    assert made.show(given)[0].shape == SHAPE


def test_two_classes_with_ignored_voxels(shaken):
    """Ignored voxels are no foreground, in the loss, in the Dice and in the errors."""
    task = msgspec.structs.replace(tasks.TASKS["brats"], ignore=9)
    given = batch(2)
    known = given["label"].numpy() != tasks.IGNORED
    for name in ("baseline", "auxiliary_segm"):
        made, _ = objective(name, task, shaken)
        loss, _, target = made.rows(given, False, None, tf.constant([0, 0]))
        label = given["label"].numpy() == 1
        truth = label if name == "baseline" else label != (given["segmentation"].numpy() == 1)
        np.testing.assert_array_equal(target[..., 0], truth & known)
        assert np.isfinite(loss).all() and loss[2] == 0


def test_dice_ce_is_asked_for(shaken):
    """--loss=dice_ce adds 1 - soft Dice to the cross-entropy of the same logits; aleatoric stays what it is."""
    given = batch(ignored=False)
    plain, both = (objective("baseline", TASK, shaken, loss=loss)[0] for loss in ("cross_entropy", "dice_ce"))
    logits = plain.logits(given)
    more = both.rows(given, False)[0] - plain.rows(given, False)[0]
    np.testing.assert_allclose(more, losses.dice_rows(logits, given["label"]), rtol=1e-4)


def test_mean_dice_over_regions():
    """Of one region it is that region's, to the bit."""
    counts = [(4, 6, 10), (0, 0, 0), (1, 3, 5)]
    assert mean_dice(counts, False) == pytest.approx(np.mean([0.5, 1, 0.25]))
    for smooth in (False, True):
        assert mean_dice(counts[:1], smooth) == dice_score(*counts[0], smooth)


@pytest.fixture(scope="session")
def regions_data(brats_raw, made_once):
    """Records of the phantom's subjects by regions, the last one of each split of another size."""
    from data_prep import convert
    from data_prep.phantom import write as phantom

    def make(folder):
        shutil.copytree(brats_raw, folder / "raw")
        depth, height, width = BRATS_SHAPE
        phantom.write("brats", folder / "other", subjects=7, shape=(depth, height - 6, width + 3), seed=3)
        names = [phantom.subject_id("brats", index) for index in range(7)]
        for name in (names[2], names[4], names[6]):
            (place,) = (folder / "raw").rglob(name)
            (other,) = (folder / "other").rglob(name)
            shutil.rmtree(place)
            shutil.copytree(other, place)
        split = folder / "split.json"
        split.write_text(msgspec.json.encode({"train": names[:3], "valid": names[3:5], "test": names[5:]}).decode())
        convert.convert("brats_regions", folder / "raw", folder / "data", split_files=[split], say=lambda line: None)

    return made_once("regions_of_sizes", make) / "data"


@pytest.fixture(scope="session")
def regions_run(regions_data, train, made_once, tmp_path_factory):
    """A run on them with a baseline, and what stands on it."""

    def make(folder):
        for network in ("baseline", "aleatoric", "auxiliary_feat"):
            train(network, "brats_regions", regions_data, folder)

    return shutil.copytree(made_once("regions_trained", make), tmp_path_factory.mktemp("regions_run") / "run")


@pytest.mark.long
def test_trainings_say_how_many_classes_they_have(regions_run):
    """config.json has the task's number for what segments and 2 for what tells errors; the weights are read back so."""
    loaded = {name: trained.load(regions_run, name, "brats_regions") for name in ("baseline", "aleatoric")}
    for name, one in loaded.items():
        outputs = one.model(np.zeros((1, 16, 16, 4), "f4"))
        assert one.config.network.classes == 4 and runs.finished(runs.network_dir(regions_run, name))["epochs"] == 2
        assert (outputs[0] if isinstance(outputs, tuple) else outputs).shape[-1] == 4
    head = trained.load(regions_run, "auxiliary_feat", "brats_regions")
    assert head.config.network.classes == 2


def test_slices_of_different_sizes_train_together(regions_data):
    """Each lies in the middle of the frame, background around it; pictures of classes are within [0, 1]."""
    one = make_trainer("baseline", regions_data, folder=regions_data.parent / "unused")
    assert (one.train.height, one.train.width) == (32, 48)
    (example,) = one.train.training(1000, 20, 0).as_numpy_iterator()
    assert example["image"].shape[1:] == (32, 48, 4) and set(np.unique(example["label"])) == {0, 1, 2, 3}
    smaller = example["subject"] == 2
    assert smaller.any() and not example["label"][smaller][:, :3].any() and not example["label"][smaller][:, -3:].any()
    pictures = one.monitor.overlays().numpy()
    assert pictures.shape == (2, 32, 4 * 48, 1) and pictures.min() >= 0 and pictures.max() <= 1
    truth = np.unique(pictures[:, :, 48:96])
    np.testing.assert_allclose(truth, np.arange(4, dtype="f4") / 3)


def test_augmentation_moves_classes_whole(regions_data):
    """By nearest pixel: no class between two others appears, an ignored voxel stays one, and what comes in is background."""
    label = np.zeros((24, 32, 1), np.uint8)
    label[6:18, 8:24], label[10:14, 12:20] = 3, tasks.IGNORED
    image = label.astype("f4")
    for seed in range(4):
        for level in ("light", "strong"):
            place = tf.constant([seed, 0], tf.int64)
            _, classes_of = augmentation.apply(level, tf.constant(image), tf.constant(label), tf.zeros([1]), place)
            assert set(np.unique(classes_of)) == {0, 3, tasks.IGNORED} and classes_of.dtype == tf.uint8
    few = make_trainer("baseline", regions_data, folder=regions_data.parent / "unused").valid.first(1)
    assert (few.height, few.width) == (32, 48)  # of all subjects


def test_ignored_voxels_are_shown_as_background(regions_data):
    """And a slice that is full of them is not the fullest."""
    one = make_trainer("baseline", regions_data, folder=regions_data.parent / "unused")
    one.monitor.examples = fullest_slices(one.valid)
    label = one.monitor.examples["label"]
    label[label > 0] = tasks.IGNORED
    assert not one.monitor.overlays().numpy()[:, :, 48:96].any()


def test_selection_is_by_the_mean_dice_over_regions(regions_data):
    """The score of the trainer equals NumPy's over whole subjects: each region's Dice, their mean, its mean over subjects."""
    one = make_trainer("baseline", regions_data, folder=regions_data.parent / "unused")
    found, _ = one.score()
    counts = np.zeros((2, 3, 3), int)
    for data in one.valid.in_order(16).as_numpy_iterator():
        predicted = one.steps.model(data["image"]).numpy().argmax(-1)
        for row, subject in enumerate(data["subject"]):
            for place, region in enumerate(REGIONS):
                p, t = np.isin(predicted[row], region), np.isin(data["label"][row], region)
                counts[subject, place] += [(p & t).sum(), p.sum(), t.sum()]
    scores = [np.mean([dice_score(*region, smooth=False) for region in subject.tolist()]) for subject in counts]
    assert found == pytest.approx(np.mean(scores), abs=1e-12) and 0 < found < 1


@pytest.fixture(scope="session")
def folds_run(regions_run, regions_data, made_once, tmp_path_factory):
    """The same run with both networks of a cross-validation of two folds."""

    def make(folder):
        shutil.copytree(regions_run, folder, dirs_exist_ok=True)
        for index in range(2):
            fold, quiet = networks.fold(index, 2), lambda line: None
            fit(fold, "brats_regions", regions_data, folder, {**TINY, "folds": 2}, say=quiet)

    return shutil.copytree(made_once("regions_folds", make), tmp_path_factory.mktemp("folds_run") / "run")


@pytest.mark.long
def test_folds_predict_as_an_ensemble(folds_run, regions_data):
    """`cv_ensemble` finds how many there are, and its maps are the mean of their softmax, in raw labels."""
    from tfunc.maps import predict
    from tfunc.maps.options import Options

    loaded = trained.load_all(folds_run, ("cv",), "brats_regions")
    assert [one.name for one in loaded] == ["cv_0", "cv_1"]
    method = methods.get("cv_ensemble")
    where = "brats_regions", regions_data, folds_run, "test", Options()
    folder = predict.predict_split(method, *where, say=lambda line: None)
    data = records.read_manifest(regions_data)
    for entry in data.split("test"):
        images = records.read_subject(regions_data, data, entry.name).normalised()
        written = np.asarray(nibabel.load(folder / f"{entry.name}_probability.nii.gz").dataobj).transpose(2, 1, 0, 3)
        raw, _ = nifti.read_map(folder / f"{entry.name}_prediction.nii.gz")
        np.testing.assert_array_equal(raw, np.array(data.task.values)[written.argmax(axis=-1)])
        p = np.mean([special.softmax(one.model(images).numpy().astype(float), axis=-1) for one in loaded], axis=0)
        np.testing.assert_allclose(written, p, atol=1e-4)


def test_folds_that_are_not_trained_are_said_with_their_command(tmp_path):
    """The method that trains all of them."""
    with pytest.raises(NotReady, match=r"network cv_0.*launch/train.py --method=cv_ensemble --dataset=brats"):
        trained.load_all(tmp_path, ("cv",), "brats")


def test_crops_and_dice_ce_train(regions_data, launch, train, tmp_path):
    """--crop and --loss are flags of train, kept in config.json; what they can't be is one line, before anything begins.

    Another crop is another training, and the folder refuses it by name.
    """
    where = "--method=baseline", "--dataset=brats_regions", f"--data_dir={regions_data}", f"--run_dir={tmp_path}"
    small = "--epochs=1", "--start_filters=4", "--depth=1", "--batch_size=8", "--learning_rate=1e-2", "--max_steps=1"
    ended = launch("train", *where, *small, "--crop=5")
    assert ended.code == 2 and "--crop=5: expected H,W" in ended.err and len(ended.err.splitlines()) == 1
    ended = launch("train", *where, *small, "--crop=16,24", "--loss=dice_ce", "--augment=light")
    assert ended.code == 0, ended.err
    config = runs.read_config(runs.network_dir(tmp_path, "baseline"))
    assert config.crop == (16, 24) and config.loss == "dice_ce" and config.network.classes == 4
    how = {"crop": "16,24", "loss": "dice_ce", "augment": "light", "epochs": 1, "max_steps": 1}
    with pytest.raises(UserError, match=r"crop"):
        train("baseline", "brats_regions", regions_data, tmp_path, **{**how, "crop": "16,16"})
    said = []
    train("baseline", "brats_regions", regions_data, tmp_path, say=said.append, **how)
    assert "trained already" in said[0]


@pytest.mark.long
def test_auxiliary_segm_learns_from_written_segmentations(regions_data, train, folds_run):
    """From folds to held-out maps in raw labels to the second input, each lying as its slice does."""
    from tfunc.maps import predict
    from tfunc.maps.options import Options

    regions_run = folds_run
    for name in ("cv_0", "cv_1"):
        predict.predict_held_out(name, "brats_regions", regions_data, regions_run, Options(), say=lambda line: None)
    data = records.read_manifest(regions_data)
    names = [entry.name for entry in data.split("train")]
    predict.predict_split(
        methods.get("baseline"),
        "brats_regions",
        regions_data,
        regions_run,
        "valid",
        Options(),
        say=lambda line: None,
    )
    folder, _ = train("auxiliary_segm", "brats_regions", regions_data, regions_run, folds=2)
    config = runs.read_config(folder)
    assert config.network.classes == 2 and config.segmentation_channels == 4
    folders = heldout_folders(regions_run, data, names, 2, "baseline")
    second = SecondInput([data.subject(name) for name in names], folders, data.task, (32, 48))
    for number, name in enumerate(names):
        raw, _ = nifti.read_map(folders[name] / f"{name}_prediction.nii.gz")
        assert set(np.unique(raw)) <= {0, 1, 2, 4}
        height, width = raw.shape[1:]
        top, left = (32 - height) // 2, (48 - width) // 2
        for index in (0, 7):
            seen = second.slice(number, index).numpy()
            index_of = data.task.class_of(raw[index], name)
            np.testing.assert_array_equal(seen[top : top + height, left : left + width], index_of)
            assert seen.sum() == index_of.sum()


@pytest.mark.parametrize(("count", "bits"), [(2, 1), (3, 2), (4, 2), (5, 4), (16, 4), (17, 8), (64, 8)])
def test_classes_are_packed_as_small_as_they_are(count, bits, tmp_path):
    """1, 2, 4 or 8 bits a voxel, and back through the pipeline's lookup; two classes as NumPy packs bits."""
    assert bits_of(count) == bits
    random = np.random.default_rng(count)
    rows = random.integers(0, count, (3, 35), np.uint8)
    packed = pack(rows, bits)
    assert packed.shape == (3, -(-35 * bits // 8))
    if bits == 1:
        np.testing.assert_array_equal(packed, np.packbits(rows, axis=1))
    labels = [tasks.Class(f"c{index}", (index,)) for index in range(count)]
    task = msgspec.structs.replace(TASK, classes=tuple(labels), regions=(), order="LPS")
    entry = records.SubjectEntry("s", ("train",), None, "", 0, 3, 3, (3, 5, 7), True, "", None, HEADER)
    nifti.write_map(tmp_path / "s_prediction.nii.gz", rows.reshape(3, 5, 7), HEADER)
    second = SecondInput([entry], {"s": tmp_path}, task, (8, 9))
    moved = voxel_order.permuted(rows.reshape(3, 5, 7), "RAS", "LPS")
    for index in range(3):
        seen = second.slice(0, index).numpy()
        np.testing.assert_array_equal(seen[1:6, 1:8], moved[index])
        assert seen.sum() == moved[index].sum()


def test_a_segmentation_of_another_shape_or_label_is_refused(tmp_path):
    """The file is named, and what to do."""
    entry = records.SubjectEntry("s", ("train",), None, "", 0, 3, 3, (3, 5, 7), True, "", None, HEADER)
    nifti.write_map(tmp_path / "s_prediction.nii.gz", np.full((3, 5, 7), 3, np.uint8), HEADER)
    for wrong, words in ((msgspec.structs.replace(TASK, classes=TASK.classes[:3], order="RAS"), "labels of"),):
        with pytest.raises(UserError, match=f"s_prediction.nii.gz: expected {words}"):
            SecondInput([entry], {"s": tmp_path}, wrong, (8, 8))
    other = records.SubjectEntry("s", ("train",), None, "", 0, 3, 3, (3, 5, 8), True, "", None, HEADER)
    with pytest.raises(UserError, match="another shape; predict again"):
        SecondInput([other], {"s": tmp_path}, msgspec.structs.replace(TASK, order="RAS"), (8, 8))


def test_old_configurations_compare_equal():
    """A folder from before --loss and --crop is of the same configuration as one that asks for neither."""
    asked = make_config("baseline", manifest())
    document = {name: value for name, value in asked.document().items() if name not in ("loss", "crop")}
    stored = msgspec.convert(runs.upgrade(document), runs.Config)
    assert not runs.difference(stored, asked, lambda records: False)
    assert set(TINY) <= set(defaults()) and classes.BINARY == 2 and networks.get("baseline").classes == 2


def _header():
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_shape((7, 5, 3))
    header.set_sform(np.eye(4), code=1)
    return header.binaryblock


HEADER = _header()
