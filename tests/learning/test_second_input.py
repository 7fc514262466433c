"""The written segmentations that auxiliary segm. learns from: the right ones, at the right slice."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from made_up import manifest

from data_prep.base.errors import NotReady
from data_prep.readers import nifti
from tfunc import networks, runs
from tfunc.learning import settings
from tfunc.learning.second_input import SecondInput


def finish(folder, networks_of):
    folder.mkdir(parents=True)
    (folder / "predictions.json").write_text(json.dumps({"networks": networks_of}))


def test_each_mask_comes_from_a_network_that_never_saw_its_subject(tmp_path):
    """For every subject of auxiliary segm., the folder of its mask is that of a fold that holds it out, on BraTS and ISIC."""
    for dataset in ("brats", "isic"):
        data, run_dir = manifest(dataset), tmp_path / dataset
        for index in range(5):
            finish(runs.predictions_dir(run_dir, f"cv_{index}", "heldout"), {f"cv_{index}": "x"})
        finish(runs.predictions_dir(run_dir, "baseline", "valid"), {"baseline": "x"})
        network, chosen = networks.get("auxiliary_segm"), settings.defaults()
        train, valid = networks.subjects(network, data)
        found = settings.inputs(network, data, run_dir, chosen).heldout
        assert set(found) == {*train, *valid}
        for name, folder in found.items():
            trainer = folder.name.split("@")[0]
            seen_by = networks.get(trainer)
            trained_on, selected_on = networks.subjects(seen_by, data)
            assert name not in trained_on
            assert seen_by.keeps_last(dataset) or (dataset == "isic" and trainer == "baseline" and name in selected_on)
            assert name not in train or trainer.startswith("cv_")  # the real baseline serves for selection only


def test_missing_predictions_are_named(tmp_path):
    """Exit 3 with the study's command where a fold was not predicted."""
    with pytest.raises(NotReady, match=r"cv_0@heldout.*launch/study.py --dataset=brats"):
        settings.inputs(networks.get("auxiliary_segm"), manifest(), tmp_path, settings.defaults())


def test_lookup_in_a_pipeline(tmp_path):
    """Masks packed to bits come back voxel by voxel, eagerly and in tf.data, for widths that are no multiple of 8."""
    data = manifest()
    entries = list(data.split("train")[:3])
    truth = np.random.default_rng(0).integers(0, 2, (3, 2, 8, 8), np.uint8)
    truth, entries = truth[:, :, :7, :5], [dataclasses.replace(entry, shape=(2, 7, 5)) for entry in entries]
    for entry, volume in zip(entries, truth, strict=True):
        nifti.write_map(tmp_path / f"{entry.name}_prediction.nii.gz", volume, HEADER)
    packed = SecondInput(entries, {entry.name: tmp_path for entry in entries}, data.task, (7, 5))
    for subject, slice in np.ndindex(3, 2):
        np.testing.assert_array_equal(packed.slice(subject, slice), truth[subject, slice])
    order = [(2, 1), (0, 0), (1, 1)]
    pipeline = tf.data.Dataset.from_tensor_slices(np.array(order, np.int32)).map(
        lambda row: packed.slice(row[0], row[1])
    )
    for (subject, slice), found in zip(order, pipeline, strict=True):
        np.testing.assert_array_equal(found, truth[subject, slice])


def _header():
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_shape((5, 7, 2))
    header.set_sform(np.eye(4), code=1)
    return header.binaryblock


HEADER = _header()
