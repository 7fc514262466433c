"""Each sample is one network for all slices of a subject, and what its samples' volumes then say."""

import dataclasses
import json
import zlib

import numpy as np
import pytest
from conftest import GOLDENS

from data_prep import records
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.subject import Subject
from tfunc import methods
from tfunc.maps import packed, predict, predictor, unprepared
from tfunc.maps.options import Options
from tfunc.scoring import spread

SAMPLES = 5


def made(run, method="baseline_mc", dataset="brats", **options):
    return predictor.of_method(methods.get(method), run, dataset, Options(samples=SAMPLES, seed=20, **options))[0]


@pytest.fixture(scope="module")
def subject(brats_data):
    manifest = records.read_manifest(brats_data)
    return records.read_subject(brats_data, manifest, manifest.split("test")[0].name)


def repeated(subject: Subject, depth=6):
    """The subject's most varied slice, several times: what differs between the slices of its maps is their samples alone."""
    index = int(subject.image.std(axis=(1, 2, 3)).argmax())
    return dataclasses.replace(subject, image=np.repeat(subject.image[index : index + 1], depth, axis=0), label=None)


def test_slices_of_a_subject_share_their_masks(brats_run, subject):
    """Equal slices get equal maps by subject, and other maps where each slice draws by itself; another subject draws others."""
    slices = repeated(subject)
    (by_subject,) = [maps for _, maps in made(brats_run).subjects([slices])]
    (by_slice,) = [maps for _, maps in made(brats_run, draws="slice").subjects([slices])]
    (of_other,) = [maps for _, maps in made(brats_run).subjects([dataclasses.replace(slices, name="another")])]
    probability = by_subject["probability"]
    np.testing.assert_allclose(probability, np.broadcast_to(probability[:1], probability.shape), atol=1e-6)
    assert np.abs(by_slice["probability"] - by_slice["probability"][:1]).max() > 1e-3
    assert np.abs(of_other["probability"] - probability).max() > 1e-3


def test_the_spread_of_a_volume_grows_with_its_slices(brats_run, subject):
    """Six equal slices: by subject six times the deviation of one slice's volume, not root six times."""
    (one,) = [maps["samples"][0] for _, maps in made(brats_run).subjects([repeated(subject, 1)])]
    (six,) = [maps["samples"][0] for _, maps in made(brats_run).subjects([repeated(subject, 6)])]
    single, whole = spread.of_overlaps(one), spread.of_overlaps(six)
    assert single.volumes.std() > 0
    np.testing.assert_allclose(whole.volumes, 6 * single.volumes)
    assert whole.pairwise_dice == pytest.approx(single.pairwise_dice)


def test_overlaps_are_those_of_the_samples_themselves(brats_run, subject):
    """[T, T] voxels shared, as counted from each sample's own segmentation, drawn one at a time from the same masks."""
    import tensorflow as tf

    from tfunc.nets import classes, folded, sampling, trained

    network = trained.load(brats_run, "baseline", "brats")
    model = folded.FoldedUNet(network.model, sampled=True)
    images = tf.constant(subject.normalised())
    seed = (20 << 32) + zlib.crc32(subject.name.encode())
    seeds = tf.constant([[seed, 0]] * len(images), tf.int64)
    uniform = sampling.sample_uniform(seeds, SAMPLES, model.rates, network.config.streams)
    drawn = [
        classes.segmentation(classes.probability(model(images, folded.dropout_masks(row, model.rates)))).numpy()
        for row in uniform
    ]
    expected = [[np.count_nonzero(one & other) for other in drawn] for one in drawn]
    (maps,) = [maps for _, maps in made(brats_run, batch_size=3).subjects([subject])]
    np.testing.assert_array_equal(maps["samples"], [expected])


@pytest.mark.long
def test_members_of_an_ensemble_spread_too(brats_run, subject):
    """An ensemble's are its members' volumes; one network has none, and neither have slices that draw by themselves."""
    from tfunc.maps.sampled import Ensemble
    from tfunc.nets.unet import unet

    members = [unet(4, start_filters=4, depth=2, seed=seed) for seed in (1, 2, 3)]
    options = Options().spread(methods.get("ensemble"), ((1,),))
    of_members = predictor.Predictor(lambda: Ensemble(members, options), 4, 4, options)
    (maps,) = [maps for _, maps in of_members.subjects([subject])]
    (alone,) = [maps for _, maps in made(brats_run, "baseline").subjects([subject])]
    (by_slice,) = [maps for _, maps in made(brats_run, draws="slice").subjects([subject])]
    assert maps["samples"].shape == (1, 3, 3) and "samples" not in alone and "samples" not in by_slice
    for index, member in enumerate(members):
        single = predictor.Predictor(lambda member=member: Ensemble([member], options), 4, 4, options)
        (own,) = [found for _, found in single.subjects([subject])]
        assert maps["samples"][0][index, index] == np.count_nonzero(own["prediction"])


@pytest.mark.parametrize("samples", [2, 8, 9, 20])
def test_bits_come_back(samples):
    """What is packed for several regions is what each sample segmented."""
    import tensorflow as tf

    rng = np.random.default_rng(samples)
    probability = rng.dirichlet(np.ones(4), (samples, 2, 5, 6)).astype(np.float32)
    regions = (1, 2, 3), (2,), (1, 3)
    total = packed.none_yet(tf.zeros((2, 5, 6, 1)), samples, regions)
    for index in range(samples):
        total += packed.bits(tf.constant(probability[index]), tf.constant(index), samples, regions)
    assert total.shape[-1] == 3 * packed.width(samples)
    segmented = probability.argmax(axis=-1)
    for found, region in zip(packed.overlaps(total.numpy(), samples, 3), regions, strict=True):
        rows = np.isin(segmented, region).reshape(samples, -1).astype(int)
        np.testing.assert_array_equal(found, rows @ rows.T)


def test_a_folder_keeps_its_draws(brats_run, brats_data, tmp_path):
    """Maps of before, whose JSON names no draws, were drawn by slice: they are found finished, and gone on with by slice."""
    import shutil

    shutil.copytree(brats_run / "networks", tmp_path / "networks")
    where = methods.get("baseline_mc"), "brats", brats_data, tmp_path, "test"
    names = [entry.name for entry in records.read_manifest(brats_data).split("test")]
    folder = predict.predict_split(*where, Options(samples=2, draws="slice"), names[:1], say=[].append)
    for file in ("config.json", "predictions.json"):
        document = artefacts.read_json(folder / file)
        assert document.pop("draws") == "slice"
        (folder / file).write_text(json.dumps(document))
    said: list[str] = []
    predict.predict_split(*where, Options(samples=2), names[:1], say=said.append)
    assert "finished already" in said[0]
    predict.predict_split(*where, Options(samples=2), say=said.append)
    assert artefacts.read_json(folder / "predictions.json")["draws"] == "slice"
    assert not list(folder.glob("*_samples.json"))
    with pytest.raises(UserError, match=r"draws 'slice' .*against 'subject'"):
        predict.predict_split(*where, Options(samples=2, draws="subject"), say=said.append)


def test_others_files_are_no_maps(brats_run, brats_raw, tmp_path):
    """A JSON of anyone in the folder of a new patient's maps, even a broken one, is none of ours."""
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text('{"samples": 3}')
    folder = sorted(path for path in brats_raw.glob("*/*") if path.is_dir())[0]
    where = methods.get("baseline_mc"), "brats", folder, brats_run, tmp_path, Options(samples=2)
    ((subject, _),) = unprepared.predict_inputs(*where, say=[].append)
    assert artefacts.read_json(tmp_path / f"{subject.name}.json")["draws"] == "subject"


def test_pairwise_dice_is_the_peers():
    """Mean over the pairs, two empty ones 1: segfail's numbers, which are float32."""
    given = np.load(GOLDENS / "subject_level" / "aggregation" / "given.npz")
    cases = [name for name in given["cases"] if f"{name}__segfail_pairwise_meandice_bg0" in given]
    compared = 0
    for name in cases:
        samples, peer = given[f"{name}__samples"], float(given[f"{name}__segfail_pairwise_meandice_bg0"])
        if samples.max() <= 1:
            assert spread.pairwise_dice(samples) == pytest.approx(peer, abs=1e-6), name
            compared += 1
    assert compared >= 8


def test_a_written_spread_is_read_back(tmp_path):
    """Volumes and Dice by region; no file is no spread, and another form is an error that names the file."""
    made_up = {"whole": spread.Spread(np.array([3.0, 4.5]), 0.75)}
    spread.write(tmp_path, "p1", made_up)
    found = spread.read(tmp_path, "p1", ["whole"])
    assert found is not None and found["whole"].pairwise_dice == 0.75
    assert found["whole"].variation == pytest.approx(np.std([3, 4.5], ddof=1) / 3.75)
    assert spread.read(tmp_path, "p2", ["whole"]) is None
    for text in (
        '{"schema": 2, "regions": {}}',
        '{"schema": 1, "regions": {"whole": {"voxels": [1], "pairwise_dice": 1}}}',
    ):
        spread.path(tmp_path, "p1").write_text(text)
        with pytest.raises(UserError, match=r"p1_samples.json"):
            spread.read(tmp_path, "p1", ["whole"])
