"""Prediction's graphs of constants: one a size, shared draws once, and the same maps as the graph with everything open."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from conftest import untrained

from data_prep.subject import Subject
from tfunc import methods
from tfunc.maps import by_size, predictives, predictor, sampled
from tfunc.maps.by_size import BySize
from tfunc.maps.options import Options
from tfunc.maps.sampled import MonteCarlo, TestTimeAugmentation
from tfunc.nets.graphs import graph
from tfunc.nets.unet import unet


def slices(count, height=32, width=48):
    return np.random.default_rng(1).standard_normal((count, height, width, 3), np.float32)


def made(cls, shaken, **options):
    return cls([shaken(unet(3, 4, 2, seed=1))], Options(samples=4, **options))


@pytest.mark.long
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("cls", [MonteCarlo, TestTimeAugmentation])
def test_maps_are_those_of_the_open_graph(cls, same, shaken):
    """Whether the rows of a batch share their draws or not: within rounding of the graph without constants or sizes."""
    predictive, images = made(cls, shaken), slices(3)
    seeds = np.array([[5, 0], [5, 0] if same else [6, 0], [5, 0]], np.int64)
    open_specs = tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, 2], tf.int64)
    expected = graph(lambda *batch: predictive(*batch), *open_specs)(tf.constant(images), tf.constant(seeds))
    found = BySize(predictive, 3)(images, seeds)
    for name in ("probability", "uncertainty", "mutual_information"):
        assert found[name].shape == (3, 32, 48)
        np.testing.assert_allclose(found[name], expected[name], atol=2e-5, err_msg=name)
    assert np.ptp(expected["mutual_information"]) > 1e-3  # the samples differ, or equality would say nothing


@pytest.mark.parametrize(("cls", "count"), [(MonteCarlo, 3), (TestTimeAugmentation, 2)])
def test_samples_of_a_single_image_are_made_in_pairs(cls, count, shaken):
    """In float32, of an even number; maps and bits are those of the image in a batch, whose samples are made one by one."""
    images, options = slices(2, 16, 24), Options(samples=4, regions=((1,),) if count == 2 else ((1,), (1, 2)))
    predictive = cls([shaken(unet(3, 4, 2, seed=1, classes=count))], options)
    maps, network, seen = BySize(predictive, 3), predictive.network, []

    def watched(images, *more):
        seen.append(images.shape[0])
        return network(images, *more)

    watched.rates, watched.classes = network.rates, network.classes
    whole = maps(images, np.array([[5, 0], [6, 0]], np.int64))
    predictive.network = watched
    alone = maps(images[1:], np.array([[6, 0]], np.int64))
    assert seen == [2] and set(alone) == set(whole)
    for name, values in alone.items():
        tolerance = 2e-5 if values.dtype == tf.float32 else 0
        np.testing.assert_allclose(values, whole[name][1:], rtol=0, atol=tolerance, err_msg=name)
    assert np.ptp(whole["mutual_information"]) > 1e-3
    for others in ({"samples": 5}, {"precision": "bfloat16"}, {"engine": "openvino"}):
        assert sampled.pairs(dataclasses.replace(options, **others)) == 1


@pytest.mark.long
@pytest.mark.parametrize("method", {of.predictive: name for name, of in methods.METHODS.items()}.values())
def test_every_method_in_every_form_of_batch(method):
    """One image or several, draws shared or not, two classes or more: each is a graph of its own, and every one traces."""
    of, images = methods.get(method), slices(2, 16, 16)
    alike, unlike, alone = (2, [[1, 0], [1, 0]]), (2, [[1, 0], [2, 0]]), (1, [[1, 0]])
    for count, batches in ((2, (alike, unlike, alone)), (3, (unlike, alone))):
        models = untrained(of, count, filters=2)
        maps = BySize(predictives.of(of)(models, Options(samples=2, regions=((1,),))), 3)
        for rows, seeds in batches:
            found = maps(images[:rows], np.array(seeds, np.int64))
            assert found["uncertainty"].shape == (rows, 16, 16)
            assert found["probability"].shape == (rows, 16, 16) + (() if count == 2 else (count,))


def test_a_size_is_traced_once_and_old_ones_go(shaken, monkeypatch):
    """A batch of another length is no other graph; of many sizes the last used are kept."""
    traced = []
    monkeypatch.setattr(by_size, "SIZES", 2)
    maps = BySize(lambda images, seeds: traced.append(images.shape[1]) or {"probability": images[..., 0]}, 3)
    for height in (8, 8, 9, 8, 10, 8, 9):
        for count in (2, 3):
            maps(slices(count, height, 8), np.zeros((count, 2), np.int64))
    assert traced == [8, 9, 10, 9]  # 9 went when 10 came, 8 having been used since


def test_only_who_shares_is_given_one_seed_for_all():
    """A predictive of one's own that does not say `SHARES` has a row of seeds for each image, as it always had."""

    class Own:
        def __call__(self, images, seeds):
            return {"probability": tf.zeros(tf.shape(images)[:3]) + tf.cast(tf.shape(seeds)[0], tf.float32)}

    class Sharing(Own):
        SHARES = True

    seeds = np.full((3, 2), 7, np.int64)
    assert BySize(Own(), 3)(slices(3), seeds)["probability"].numpy().max() == 3
    assert BySize(Sharing(), 3)(slices(3), seeds)["probability"].numpy().max() == 1


def test_batches_end_where_the_draws_change(shaken):
    """Slices of one subject share a batch and its one seed; another subject's begin a new one, small photographs do not.

    Large photographs, each with draws of its own, are batches of one in bfloat16, and fill batches in float32.
    """
    batches = []

    def run(images, seeds):
        batches.append((len(images), len(np.unique(seeds, axis=0))))
        return {name: np.zeros(images.shape[:3], np.float32) for name in ("prediction", "probability", "uncertainty")}

    alone, whole = [(1, 1)] * 5, [(4, 4), (1, 1)]
    for precision, depth, height, expected in (
        ("bfloat16", 6, 128, [(4, 1), (2, 1)] * 2),
        ("float32", 6, 128, [(4, 1), (2, 1)] * 2),
        ("float32", 5, 128, [(4, 1), (1, 1)] * 2),
        ("float32", 6, 32, [(4, 1), (4, 2), (4, 1)]),
        ("bfloat16", 1, 128, alone),
        ("float32", 1, 128, whole),
        ("bfloat16", 1, 32, whole),
    ):
        batches.clear()
        options = Options(batch_size=4, precision=precision)
        one = predictor.Predictor(lambda options=options: made(MonteCarlo, shaken), 3, 4, options)
        one.run = run
        image = np.zeros((depth, height, 128, 3), np.int16)
        names = "ab" if depth > 1 else "abcde"
        subjects = [Subject(name, image, np.zeros(3, np.float32), np.ones(3, np.float32)) for name in names]
        assert len(list(one.subjects(subjects))) == len(names)
        assert batches == expected, (precision, depth, height)


def test_draws_by_slice_fill_batches_in_float32(shaken):
    """Each slice of a volume has draws of its own there, and a batch holds several."""
    batches = []
    one = predictor.Predictor(lambda: made(MonteCarlo, shaken), 3, 4, Options(batch_size=4, draws="slice"))
    one.run = lambda images, seeds: (
        batches.append(len(images))
        or {name: np.zeros(images.shape[:3], np.float32) for name in ("prediction", "probability", "uncertainty")}
    )
    image = np.zeros((6, 128, 128, 3), np.int16)
    subjects = [Subject(name, image, np.zeros(3, np.float32), np.ones(3, np.float32)) for name in "ab"]
    assert len(list(one.subjects(subjects))) == 2
    assert batches == [4, 2, 4, 2]


def test_stratified_is_for_masks_only():
    """A method that has no masks refuses it, before anything is computed."""
    assert Options(stratified=True).drawn(methods.get("baseline_mc"))["stratified"] is True
    for name in ("tta", "baseline", "ensemble"):
        with pytest.raises(Exception, match="--stratified: expected a method of MC dropout"):
            Options(stratified=True).drawn(methods.get(name))


def test_a_folder_stays_stratified_or_not():
    """What a folder was begun with goes on; one of before is not stratified, and asking otherwise differs."""
    method = methods.get("center_mc")
    assert Options().begun({"stratified": True}).drawn(method)["stratified"] is True
    assert Options().begun({"draws": "subject"}).drawn(method)["stratified"] is False
    assert Options(stratified=False).begun({"stratified": True}).drawn(method)["stratified"] is False
