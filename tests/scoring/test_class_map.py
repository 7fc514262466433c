"""Several classes: the oracles of others, every region as the binary evaluation, and the class map."""

import json

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import sklearn.metrics
from conftest import GOLDENS
from made_up_classes import RAW, TASK, make_classes, softmax, write_channels
from made_up_maps import write

from data_prep.base import pool
from data_prep.readers import nifti
from tfunc import kinds
from tfunc.reporting import files
from tfunc.scoring import binary, class_measures, classes, margin, metrics, sources
from tfunc.scoring.counts import Counts
from tfunc.scoring.evaluate import evaluate
from tfunc.scoring.truth import FolderTruth

GOLDEN = np.load(GOLDENS / "multiclass" / "given.npz")
TEN = list(GOLDEN["n_bins"]).index(10)
CASES = [str(name) for name in GOLDEN["cases"]]


def counted(case):
    """(`ClassMap`, softmax [N, C], labels [N]) of a golden case."""
    probability, label = GOLDEN[f"{case}__probs"], GOLDEN[f"{case}__labels"].astype(np.uint8)
    channels = tuple(probability.T)
    prediction = probability.argmax(axis=1).astype(np.uint8)
    return classes.class_map(channels, prediction, label), probability, label


@pytest.mark.parametrize("case", CASES)
def test_calibration_of_others(case):
    """Top-label and class-wise ECE are the left-closed formula's on edges too, and torchmetrics' and netcal's away from them."""
    found, *_ = counted(case)
    top, by_class = class_measures.top_label_error(found), class_measures.class_wise_error(found)
    of = {name.partition("__")[2]: GOLDEN[name] for name in GOLDEN.files if name.startswith(f"{case}__")}
    np.testing.assert_allclose(top, of["formula_toplabel_left_closed"][TEN], atol=1e-12)
    np.testing.assert_allclose(by_class, of["formula_classwise_left_closed"][TEN].mean(), atol=1e-12)
    each = [metrics.calibration_error(one) for one in found.by_class]
    np.testing.assert_allclose(each, of["formula_classwise_left_closed"][TEN], atol=1e-12)
    if case != "edges_and_ties" and not case.startswith("one_hot"):  # torchmetrics has a bin of its own for 1.0
        np.testing.assert_allclose(top, of["torchmetrics_toplabel_l1"][TEN], atol=1e-6)
        np.testing.assert_allclose(by_class, of["torchmetrics_classwise_mean_l1"][TEN], atol=1e-6)
        np.testing.assert_allclose(by_class, of["torch_uncertainty_classwise_mean_l1"][TEN], atol=1e-6)
        if of["netcal_toplabel_ece"].shape:
            np.testing.assert_allclose(top, of["netcal_toplabel_ece"][TEN], atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_entropy_of_others(case):
    """Entropy over log C is SciPy's and segfail's; of two classes it is the binary one."""
    probability = GOLDEN[f"{case}__probs"]
    for values, tolerance in ((probability, 1e-12), (probability.astype(np.float32), 1e-6)):
        found = kinds.softmax_entropy(tuple(values.T))
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, GOLDEN[f"{case}__scipy_entropy_over_logC"], atol=tolerance)
        np.testing.assert_allclose(found, GOLDEN[f"{case}__segfail_entropy_over_logC"], atol=tolerance)
    one = probability[:, 0]
    np.testing.assert_allclose(
        kinds.softmax_entropy((1 - one, one)), kinds.normalised_entropy(one), atol=1e-12
    )  # the same two numbers


@pytest.mark.parametrize("case", [name for name in CASES if f"{name}__p_WT" in GOLDEN.files])
def test_region_sums_of_others(case):
    """p_WT, p_TC, p_ET are the sums of their classes."""
    channels = tuple(GOLDEN[f"{case}__probs"].T)
    for region, name in zip(((1, 2, 3), (1, 3), (3,)), ("WT", "TC", "ET"), strict=True):
        found = classes.region_probability(channels, region)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, np.minimum(GOLDEN[f"{case}__p_{name}"], 1), atol=1e-6)


def test_scikit_learn():
    """Regions' Dice are their F1, accuracy is accuracy, U-E is the F1 of the errors and the uncertain voxels."""
    rng = np.random.default_rng(3)
    label = rng.integers(0, 4, (4, 9, 7)).astype(np.uint8)
    channels = softmax(label, rng)
    prediction = channels.argmax(axis=0).astype(np.uint8)
    target = target_of(label)
    parts = classes.count(classes.Voxels("probability", prediction, tuple(channels)), TASK, target)
    for region in TASK.regions:
        f1 = sklearn.metrics.f1_score(
            np.isin(label, region.classes).ravel(), np.isin(prediction, region.classes).ravel()
        )
        np.testing.assert_allclose(metrics.dice(parts.regions[region.name]), f1, rtol=1e-12)
    assert class_measures.accuracy(parts.classes) == sklearn.metrics.accuracy_score(label.ravel(), prediction.ravel())
    np.testing.assert_allclose(
        class_measures.mean_dice(parts.classes), np.mean([metrics.dice(of) for of in parts.regions.values()])
    )
    wrong = prediction != label
    entropy = kinds.softmax_entropy(tuple(channels))
    for index, threshold in enumerate((0.05, 0.1, 0.2)):
        f1 = sklearn.metrics.f1_score(wrong.ravel(), (entropy > threshold).ravel())
        np.testing.assert_allclose(class_measures.error_overlap(parts.classes)[index], f1, rtol=1e-12)


def target_of(label, mask=None):
    regions = tuple(classes.among(label, region) for region in TASK.regions)
    return classes.Target(label, mask, regions, (None,) * len(regions))


@pytest.mark.parametrize("kind", ["error", "sigma"])
def test_a_class_map_of_an_uncertainty(kind):
    """Error and sigma: an error is a wrong class, the confidence 1 - u/2; the class-wise error is undefined."""
    rng = np.random.default_rng(5)
    label, prediction = rng.integers(0, 4, (2, 3, 8, 9)).astype(np.uint8)
    score, mask = rng.random(label.shape).astype(np.float32), rng.random(label.shape) < 0.7
    limits = (0.0, 1.5)
    parts = classes.count(classes.Voxels(kind, prediction, score=score), TASK, target_of(label, mask), limits)
    uncertainty = kinds.KINDS[kind].uncertainty_map(score, kinds.KINDS[kind].limits(score, limits))
    wrong = prediction != label
    for index, threshold in enumerate((0.05, 0.1, 0.2)):
        f1 = sklearn.metrics.f1_score(wrong.ravel(), (uncertainty > threshold).ravel())
        np.testing.assert_allclose(class_measures.error_overlap(parts.classes)[index], f1, rtol=1e-12)
    confidence = (1 - uncertainty / 2)[mask]
    bins = np.minimum((confidence.astype(np.float64) * 10).astype(int), 9)
    gaps = [
        abs(confidence[bins == b].mean(dtype=float) - (~wrong)[mask][bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    np.testing.assert_allclose(class_measures.top_label_error(parts.classes), sum(gaps), rtol=1e-6)
    assert np.isnan(class_measures.class_wise_error(parts.classes))
    assert class_measures.accuracy(parts.classes) == (~wrong).mean()
    assert parts.classes.overall.uncertainty.sum() == label.size


def test_sums_above_one_and_their_order():
    """Rounding may lift a sum above 1: clipped. The order is the classes', as NumPy's sum over the last axis."""
    rng = np.random.default_rng(2)
    channels = softmax(np.zeros((40, 50, 6), np.uint8), rng, classes=6)
    for region in ((1, 2, 3), (3, 1), (5,), (0, 1, 2, 3, 4, 5)):
        expected = np.moveaxis(channels, 0, -1)[..., list(region)].sum(-1)
        assert len(region) < 6 or (expected > 1).any()
        np.testing.assert_array_equal(classes.region_probability(channels, region), np.minimum(expected, 1))


def lines_of(evaluated):
    return [list(of(evaluated)) for of in (files.subjects_lines, files.calibration_lines, files.thresholds_lines)]


@pytest.mark.parametrize("kind", kinds.KINDS)
@pytest.mark.parametrize("ignored", [0.0, 0.3])
@pytest.mark.parametrize("masked", [False, True])
def test_a_region_is_the_binary_evaluation(tmp_path, kind, ignored, masked):
    """Through files, exactly: each of three overlapping regions, and the same task written as two classes by hand."""
    arrays = make_classes(tmp_path, ignored=ignored)
    masks = None
    if masked:
        masks = str(tmp_path / "masks")
        for index, name in enumerate(arrays):
            inside = np.random.default_rng(index).random((4, 9, 7)) < 0.6
            write(tmp_path / "masks" / f"{name}.nii.gz", inside.astype(np.uint8))
    with pool.executor(1) as workers:
        maps = sources.folder_maps(tmp_path / "maps", kind)
        found = evaluate(maps, FolderTruth(str(tmp_path / "labels"), masks, classes=TASK), workers)
        for region in TASK.regions:
            folder = tmp_path / region.name
            for name, of in arrays.items():
                summed = np.minimum(np.moveaxis(of["channels"], 0, -1)[..., list(region.classes)].sum(-1), 1)
                inside = np.isin(of["label"], region.classes)
                write(folder / "maps" / f"{name}_probability.nii.gz", summed)
                write(folder / "maps" / f"{name}_uncertainty.nii.gz", of["uncertainty"])
                segmented = np.isin(of["prediction"], region.classes).astype(np.uint8)
                write(folder / "maps" / f"{name}_prediction.nii.gz", segmented)
                write(folder / "labels" / f"{name}.nii.gz", np.where(of["counted"], inside, 9).astype(np.uint8))
            rule = {"rule": sources.volumes.labels.Rule(ignore=9)}
            truth = FolderTruth(str(folder / "labels"), masks, **rule)
            two = evaluate(sources.folder_maps(folder / "maps", kind), truth, workers)
            assert lines_of(two) == lines_of(found.regions[region.name])


def test_ways_to_write_a_softmax(tmp_path):
    """Class last, class first, float64, nnU-Net's npz, without a segmentation: one result."""
    arrays = make_classes(tmp_path)
    expected = None
    truth = FolderTruth(str(tmp_path / "labels"), classes=TASK)
    for way in ("last", "first", "double", "npz", "alone", "subjects"):
        folder = tmp_path / way
        for name, of in arrays.items():
            channels = of["channels"].astype(np.float64) if way == "double" else of["channels"]
            if way == "npz":
                folder.mkdir(exist_ok=True)
                np.savez_compressed(folder / f"{name}.npz", probabilities=channels)
                (folder / f"{name}.pkl").write_bytes(b"never read")
                write(folder / f"{name}.nii.gz", RAW[of["prediction"]])
            else:
                place = folder / name if way == "subjects" else folder
                write_channels(place / f"{name}_probability.nii.gz", channels, way in ("first", "subjects"))
                if way != "alone":
                    write(place / f"{name}_prediction.nii.gz", RAW[of["prediction"]])
        with pool.executor(1) as workers:
            found = evaluate(sources.folder_maps(folder, None if way == "npz" else "probability"), truth, workers)
        lines = [[row[1:] for row in table] for one in found.regions.values() for table in lines_of(one)]
        expected = expected or lines
        assert lines == expected, way
        assert found.classes is not None


def test_one_pass_over_the_files(tmp_path, monkeypatch):
    """Label, probability and segmentation of a subject are read once, for three regions and the class map."""
    arrays, read = make_classes(tmp_path), []
    whole = nifti.read_array
    monkeypatch.setattr(nifti, "read_array", lambda header, *do: read.append(header.path) or whole(header, *do))
    truth = FolderTruth(str(tmp_path / "labels"), classes=TASK)
    with pool.executor(1) as workers:
        evaluate(sources.folder_maps(tmp_path / "maps", "probability"), truth, workers)
    assert len(read) == len(set(read)) == 3 * len(arrays)


def test_the_mean_over_regions(tmp_path):
    """A subject's mean skips undefined regions; a region that label and segmentation lack has a Dice of 1."""
    arrays = make_classes(tmp_path)
    first = arrays["case_0"]
    first["prediction"][first["prediction"] == 3] = 0
    write(tmp_path / "maps" / "case_0_prediction.nii.gz", RAW[first["prediction"]])
    truth = FolderTruth(str(tmp_path / "labels"), classes=TASK)
    with pool.executor(1) as workers:
        found = evaluate(sources.folder_maps(tmp_path / "maps", "probability"), truth, workers)
    assert found.regions["three"].scores["maps"]["dice"][0] == 1
    assert np.isnan(found.regions["three"].scores["maps"]["ece_near"][0])
    for name in ("dice", "ece", "ece_near", "ue", "bnf"):
        every = np.stack([np.asarray(one.scores["maps"][name], float) for one in found.regions.values()])
        np.testing.assert_allclose(found.scores["maps"][name], np.nanmean(every, axis=0), rtol=1e-12)
    pooled = sum((one.scores["maps"].pooled for one in found.regions.values()), Counts(*(0,) * 5))
    assert (pooled.calibration == found.scores["maps"].pooled.calibration).all()


def test_all_background(tmp_path):
    """A subject that is all background, and found to be: Dice 1 everywhere, U-E undefined where nothing is uncertain."""
    make_classes(tmp_path, subjects=1)
    zero = np.zeros((4, 9, 7), np.uint8)
    sure = np.zeros((4, *zero.shape), np.float32)
    sure[0] = 1
    write(tmp_path / "labels" / "case_0.nii.gz", zero)
    write(tmp_path / "maps" / "case_0_prediction.nii.gz", zero)
    write_channels(tmp_path / "maps" / "case_0_probability.nii.gz", sure)
    truth = FolderTruth(str(tmp_path / "labels"), classes=TASK)
    with pool.executor(1) as workers:
        found = evaluate(sources.folder_maps(tmp_path / "maps", "probability"), truth, workers)
    assert all(one.scores["maps"]["dice"] == 1 for one in (found, found.classes, *found.regions.values()))
    assert found.classes.scores["maps"]["ece_top"] == found.classes.scores["maps"]["ece_class"] == 0
    assert np.isnan(found.classes.scores["maps"]["ue"]).all()


@pytest.mark.parametrize("shape", [(9, 20, 15), (1, 30, 21), (3, 4, 5)])
def test_near_the_foreground(shape):
    """The margin is SciPy's dilation by a box of 11, in the plane for a photograph; nothing is near an empty target."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        target = rng.random(shape) < 2 / np.prod(shape)
        box = np.ones([1 if size == 1 else 11 for size in shape])
        np.testing.assert_array_equal(margin.near(target), scipy.ndimage.binary_dilation(target, box))
    assert not margin.near(np.zeros(shape, np.uint8)).any()


def test_the_error_near_the_foreground():
    """`ece_near` is the calibration error of those voxels alone, of every kind; undefined where there are none."""
    rng = np.random.default_rng(1)
    label = np.zeros((6, 30, 30), np.uint8)
    label[2:4, 12:15, 12:16] = 1
    score = rng.random(label.shape).astype(np.float32)
    prediction = score > 0.5
    near = margin.near(label)
    for kind in kinds.KINDS:
        found = binary.count(score, kind, prediction, label, None, (0, 1), near)
        limits = kinds.KINDS[kind].limits(score, (0, 1))
        values = score if limits is None else kinds.rescaled(score, *limits)
        probability = kinds.KINDS[kind].foreground(values, prediction)
        alone = binary.count(probability[near], "probability", prediction[near], label[near])
        np.testing.assert_allclose(
            metrics.near_calibration_error(found), metrics.calibration_error(alone), rtol=1e-6, atol=1e-12
        )
        assert np.isnan(metrics.near_calibration_error(binary.count(score, kind, prediction, label, None, (0, 1))))


def test_golden_cases_are_documented():
    """The numbers of others come with what they are."""
    text = (GOLDENS / "multiclass" / "README.md").read_text(encoding="utf-8")
    assert "torchmetrics" in text and json.dumps(CASES)
