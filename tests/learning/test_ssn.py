"""Stochastic segmentation networks: the loss against the authors' numbers, how their trainings begin, what they learn."""

import csv
import shutil

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from conftest import GOLDENS, make_config
from made_up import manifest
from scipy import special, stats

from data_prep import tasks
from data_prep.base import artefacts
from data_prep.base.errors import NotReady
from tfunc import networks, runs
from tfunc.learning import initial
from tfunc.learning.losses import cross_entropy_rows, low_rank_rows
from tfunc.learning.objectives import contract
from tfunc.nets import low_rank, trained
from tfunc.nets.unet import unet

GIVEN = np.load(GOLDENS / "subject_level" / "ssn" / "given.npz", allow_pickle=False)
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
CASES = [*GIVEN["cases"], *GIVEN["binary_cases"]]


def golden(case):
    """A case with its voxels as axes and the class last, as ours; of a binary one the background's logits are 0.

    Returns (mean, factor, diagonal), target, the draws, the authors' samples and loss.
    """
    given = {name.partition("__")[2]: GIVEN[name] for name in GIVEN.files if name.startswith(f"{case}__")}
    batch, *voxels = given["target"].shape
    count = 1 if "all_logits" in given else int(given["shape"][1])

    def placed(values, lead, rank=()):
        values = np.moveaxis(values.reshape(*lead, count, *voxels, *rank), len(lead), len(lead) + len(voxels))
        background = np.zeros_like(values)
        return np.concatenate([background, values], axis=len(lead) + len(voxels)) if count == 1 else values

    rank, half = given["cov_factor"].shape[-1], len(given["eps_factor"])
    spread = (
        placed(given["mean"], [batch]),
        placed(given["cov_factor"], [batch], [rank]),
        placed(given["cov_diag"], [batch]),
    )
    noise = given["eps_factor"], placed(given["eps_diag"], [half, batch])
    samples = placed(
        given["all_logits" if count == 1 else "all_samples"].reshape(2 * half, batch, -1), [2 * half, batch]
    )
    return spread, given["target"], noise, samples, float(given["ssn_loss"])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", CASES)
def test_given_draws_give_the_authors_samples_and_loss(case, dtype):
    """With the authors' draws samples and loss are theirs: 2-D and 3-D, binary as two classes, without covariance, far logits."""
    spread, target, noise, samples, loss = golden(case)
    spread, noise = ([tf.constant(values, dtype) for values in part] for part in (spread, noise))
    added = low_rank.deviation(*spread[1:], *noise)
    found = np.concatenate([spread[0] + added, spread[0] - added])
    np.testing.assert_allclose(found, samples, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    rows = low_rank_rows(*spread, target, noise)
    assert rows.dtype == dtype and rows.shape == (len(target),)
    assert float(np.mean(rows)) == pytest.approx(loss, rel=TOLERANCE[dtype])


def spread_of(shape, classes=3, rank=4, scale=1.0, seed=0):
    random = np.random.default_rng(seed)
    mean = random.normal(0, 2, (*shape, classes))
    factor, diagonal = scale * random.normal(size=(*shape, classes, rank)), scale * random.random((*shape, classes))
    return [tf.constant(values, tf.float32) for values in (mean, factor, diagonal)]


def test_a_drawn_loss_is_that_of_its_distribution():
    """One seed repeats it, another changes it; with many samples it is SciPy's integral over the one logit that is random."""
    target = np.ones((1, 1, 2), "u1")
    mean, factor = np.zeros((1, 1, 2, 2), "f4"), np.zeros((1, 1, 2, 2, 1), "f4")
    factor[..., 1, 0] = 3.0  # both voxels' foreground goes up and down together
    spread = [tf.constant(values) for values in (mean, factor, np.full_like(mean, 1e-8))]
    one, again, other = (float(low_rank_rows(*spread, target, seed=[1, seed])[0]) for seed in (1, 1, 2))
    assert one == again != other
    likelihood = stats.norm(0, 3).expect(lambda z: special.expit(z) ** 2)  # together: the square is inside
    found = float(low_rank_rows(*spread, target, samples=200_000, seed=[1, 2])[0])
    assert found == pytest.approx(-np.log(likelihood), rel=0.01)


def test_it_stays_finite_and_teaches():
    """Logits hundreds off have finite gradients in every part, also where the head's log of a variance is far too large."""
    second = tf.Variable(np.random.default_rng(0).normal(0, 300, (2, 5, 4, 3 * 5)).astype("f4"))
    mean = tf.Variable(np.random.default_rng(1).normal(0, 300, (2, 5, 4, 3)).astype("f4"))
    with tf.GradientTape() as tape:
        rows = low_rank_rows(mean, *low_rank.parts(second, 3), np.ones((2, 5, 4), "u1"), seed=[1, 2])
    assert np.isfinite(rows).all() and (rows.numpy() > 100).all()
    for gradient in tape.gradient(rows, [mean, second]):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_the_head_says_logs_of_variances_and_factors():
    """The first channels are logs of the diagonal, above 1e-5 as the authors'; the rest one factor beside the other."""
    second = np.random.default_rng(0).normal(size=(2, 3, 4, 3 * 6)).astype("f4")
    factor, diagonal = low_rank.parts(tf.constant(second), 3)
    np.testing.assert_allclose(diagonal, np.exp(second[..., :3]) + 1e-5, rtol=1e-6)
    np.testing.assert_array_equal(factor, second[..., 3:].reshape(2, 3, 4, 3, 5))


def test_what_counts_nowhere_teaches_nothing():
    """Ignored voxels are in no sum, whatever is written there; a slice without any other has loss 0."""
    spread, shape = spread_of((2, 3, 4)), (2, 3, 4)
    target, known = np.ones(shape, "u1"), np.random.default_rng(0).random(shape) < 0.6
    known[1] = False
    masked = np.where(known, target, tasks.IGNORED)
    draws = [np.random.default_rng(2).normal(size=size).astype("f4") for size in ((5, 2, 4), (5, 2, 3, 4, 3))]
    found = low_rank_rows(*spread, masked, draws, counted=tf.constant(known))
    mean, factor, diagonal = (values.numpy().astype("f8") for values in spread)
    added = np.einsum("bhwcr,sbr->sbhwc", factor, draws[0]) + np.sqrt(diagonal) * draws[1]
    p = special.log_softmax(np.concatenate([mean + added, mean - added]), axis=-1)[..., 1]
    expected = -special.logsumexp((p * known).sum(axis=(2, 3)), axis=0) + np.log(10)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert float(found[1]) == pytest.approx(0, abs=1e-6)


def objective(task, **settings):
    config = make_config("ssn", manifest(task=task), **settings)
    return contract.find(config.network.objective)(config, None)


@pytest.mark.long
@pytest.mark.parametrize("name", ["brats", "brats_regions"])
def test_the_objective(name, shaken):
    """The loss is the slice's over the number of its voxels that count, and nearly the cross-entropy before anything is learnt.

    Dice and pictures are of the mean logits.
    """
    task = tasks.TASKS[name] if name == "brats" else msgspec.structs.replace(tasks.TASKS[name], ignore=9)
    made, random = objective(task), np.random.default_rng(0)
    count = len(task.classes)
    label = random.integers(0, count, (3, 8, 12), np.uint8)
    if task.ignore is not None:
        label[0, :3], label[2] = tasks.IGNORED, tasks.IGNORED
    batch = {"image": tf.constant(random.normal(size=(3, 8, 12, 4)), tf.float32), "label": tf.constant(label)}
    mean, second = made.model(batch["image"])
    assert mean.shape[-1] == count and second.shape[-1] == 11 * count
    known = label != tasks.IGNORED
    loss, predicted, target = made.rows(batch, False, None, tf.constant([0, 1]))
    plain = cross_entropy_rows(mean, label, tf.constant(known))
    np.testing.assert_allclose(loss, plain, rtol=0.05, atol=1e-6)
    assert predicted.shape == target.shape == (3, 8, 12, len(task.regions))
    shown, p = made.show(batch)[0], special.softmax(mean, axis=-1)
    np.testing.assert_allclose(shown, p if count > 2 else p[..., 1], atol=1e-5)
    shaken(made.model, 1)
    mean, second = made.model(batch["image"])
    rows = low_rank_rows(mean, *low_rank.parts(second, count), label, seed=[0, 1], counted=tf.constant(known))
    loss, *_ = made.rows(batch, False, None, tf.constant([0, 1]))
    np.testing.assert_allclose(loss, rows / np.maximum(known.sum(axis=(1, 2)), 1), rtol=1e-5)


def test_a_network_begins_as_its_mean():
    """The covariance's head starts without factors and with variances of e^-5; all else is the baseline's, bit by bit."""
    model = unet(3, 4, 2, seed=20, rank=10)
    factor, diagonal = low_rank.parts(model(np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("f4"))[1], 2)
    assert not factor.numpy().any() and factor.shape[-1] == 10
    np.testing.assert_allclose(diagonal, np.exp(-5) + 1e-5, rtol=1e-5)
    ours = dict(initial.places(model))
    for place, layer in initial.places(unet(3, 4, 2, seed=20)):
        for found, expected in zip(ours[place].get_weights(), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="one"):
        unet(3, 4, 2, sigma=True, rank=2)


# ---------------------------------------------------------------------------------------------------------- trainings


def test_it_needs_the_baseline(isic_data, train, tmp_path):
    """Without the trained baseline it names the command, and leaves nothing behind."""
    with pytest.raises(NotReady, match="trained network baseline"):
        train("ssn", "isic", isic_data, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_training_begins_with_the_baseline_and_learns(isic_data, isic_run, train, tmp_path):
    """It begins with the baseline's weights and says so; its loss falls; it keeps its last epoch and is found again."""
    run, said = shutil.copytree(isic_run, tmp_path / "run"), []
    folder, done = train("ssn", "isic", isic_data, run, epochs=6, say=said.append)
    begun = next(line for line in said if "begins with the weights" in line)
    assert begun.endswith("but not 3, which have no place or another size there: covariance 0, convolution; "
                          "covariance 0, normalisation; covariance 1")  # fmt: skip
    config = runs.read_config(folder)
    assert config.init_from.weights_sha256 == runs.weights_checksum(run, "baseline") and config.network.rank == 10
    assert config.keeps == "last" and done["kept_epoch"] == 6
    losses = [float(row["loss"]) for row in csv.DictReader((folder / "log.csv").open())]
    assert losses[-1] < losses[0]
    factor, _ = low_rank.parts(trained.load(run, "ssn", "isic").model(np.zeros((1, 8, 8, 3), "f4"))[1], 2)
    assert np.abs(factor).max() > 0
    said.clear()
    assert train("ssn", "isic", isic_data, run, epochs=6, say=said.append)[1] == done and "trained already" in said[0]


@pytest.mark.long
def test_a_stopped_one_goes_on_without_the_baseline(isic_data, isic_run, train, tmp_path):
    """What was begun needs its beginning no more: prolonged where the baseline is gone, it is the longer training."""
    runs_of = [shutil.copytree(isic_run, tmp_path / name) for name in ("longer", "prolonged")]
    _, longer = train("ssn", "isic", isic_data, runs_of[0], epochs=3)
    train("ssn", "isic", isic_data, runs_of[1], epochs=2)
    shutil.rmtree(runs.network_dir(runs_of[1], "baseline"))
    _, prolonged = train("ssn", "isic", isic_data, runs_of[1], epochs=3)
    assert (prolonged["last_sha256"], prolonged["epochs"]) == (longer["last_sha256"], 3)


def test_the_users_beginning_wins(isic_data, isic_run, brats_run, train, tmp_path):
    """--init_from takes the place of the baseline."""
    run, other = shutil.copytree(isic_run, tmp_path / "run"), runs.network_dir(brats_run, "baseline")
    folder, _ = train("ssn", "isic", isic_data, run, epochs=1, init_from=other)
    assert runs.read_config(folder).init_from.weights_sha256 == runs.finished(other)["weights_sha256"]
    assert artefacts.read_json(folder / runs.CONFIG)["init_from"]["network"] == str(other)


def test_places_say_what_the_second_head_is():
    """An aleatoric network's sigma is no covariance: the one gives the other nothing of it."""
    places = {place for place, _ in initial.places(unet(3, 2, 1, rank=2))}
    assert {"covariance 1"} == {place for place in places if place.endswith(" 1") and "logits" not in place}
    assert networks.get("ssn").needs == ("baseline",)
