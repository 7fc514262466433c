"""A small run of four classes with networks of no training: volumes of three channels with rules of their own, and photographs.

The volumes lie in three voxel orders and have three sizes; on request their spacings differ, so that they are resampled.
"""

import json

import nibabel
import numpy as np
from conftest import make_config
from PIL import Image

from data_prep import convert, datasets, records
from data_prep.base import artefacts
from tfunc import networks, runs
from tfunc.nets import trained as models

FILTERS, DEPTH = 4, 2
SEEDS = {"baseline": 2, "aleatoric": 4, "auxiliary_segm": 6}
VALUES = {"background": 0, "liver": 7, "spleen": 200, "tumour": 2}  # raw labels, in an order of their own
KINDS = (("LPS", (20, 26, 6)), ("RAS", (18, 22, 5)), ("PIR", (25, 5, 21)), ("LPS", (26, 20, 4)))  # sizes x, y, z
RULES = {"CT": {"normalise": "ct"}, "other": {"normalise": "zscore_nonzero"}, "third": {"normalise": "minmax"}}


def affine_of(order, spacing):
    """An affine in a voxel order, turned by eight degrees about z; spacing: of the file's axes."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, letter in enumerate(order):
        row = next(index for index, pair in enumerate(("LR", "PA", "IS")) if letter in pair)
        affine[row, axis] = spacing[axis] if letter in "RAS" else -spacing[axis]
    turn = np.eye(4)
    turn[:2, :2] = np.array([[np.cos(0.14), -np.sin(0.14)], [np.sin(0.14), np.cos(0.14)]])
    affine = turn @ affine
    affine[:3, 3] = 12.5, -34.25, 7.75
    return affine


def write_volume(path, array, order, spacing):
    """[x, y, z] in a voxel order; spacing: of the file's axes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = affine_of(order, spacing)
    nibabel.save(nibabel.Nifti1Image(array, affine, dtype=array.dtype), path)


def spacing_of(order, in_plane):
    """The spacing of the file's axes where slices are axial."""
    return [4.0 if letter in "IS" else in_plane for letter in order]


def volumes(folder, spacings=(1.0, 1.0, 1.0, 1.0)):
    """nnU-Net's raw form: three cases with labels and one without."""
    random = np.random.default_rng(3)
    channels = {str(index): name for index, name in enumerate(RULES)}
    document = {"channel_names": channels, "labels": VALUES, "numTraining": 3, "file_ending": ".nii.gz"}
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps(document))
    (folder / "tfunc.json").write_text(json.dumps({"channels": RULES}))
    for index, ((order, shape), in_plane) in enumerate(zip(KINDS, spacings, strict=True)):
        part, spacing = ("Tr" if index < 3 else "Ts"), spacing_of(order, in_plane)
        label = random.choice(np.array(sorted(VALUES.values()), np.uint8), shape)
        inside = random.random(shape) < 0.7
        arrays = [
            random.normal(40, 200, shape) - 300 * (label == 0),
            np.where(inside, random.gamma(2, 150, shape) + label % 11 * 40, 0),
            random.integers(-50, 90, shape),
        ]
        for channel, array in enumerate(arrays):
            path = folder / f"images{part}" / f"case_{index}_{channel:04d}.nii.gz"
            write_volume(path, np.rint(array).astype(np.int16), order, spacing)
        if part == "Tr":
            write_volume(folder / "labelsTr" / f"case_{index}.nii.gz", label, order, spacing)
    return folder


def photographs(folder):
    """Photographs and masks of four numbers, of two sizes."""
    random = np.random.default_rng(4)
    for index, size in enumerate([(40, 60), (44, 60), (40, 60), (40, 60)]):
        mask = random.choice(np.array([0, 60, 128, 255], np.uint8), size)
        pixels = random.integers(0, 256, (*size, 3)).astype(np.uint8)
        for part, array, ending in (("images", pixels, "png"), ("masks", mask, "png")):
            (folder / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / part / f"eye_{index}.{ending}")
    return folder


def prepared(raw_dir, folder):
    """(the task, the folder of the records) of raw data."""
    task, raw_dir = datasets.find(str(raw_dir))
    names = ["eye_0", "eye_1", "eye_2"] if task.is_photograph else ["case_0", "case_1", "case_2"]
    split = folder / "split.json"
    split.parent.mkdir(parents=True, exist_ok=True)
    split.write_text(json.dumps({"train": names[:1], "valid": names[1:2], "test": names[2:]}))
    quiet = {"skip_bad": True, "say": lambda line: None}
    convert.convert(task, raw_dir, folder / "data", split_files=[str(split)], allow_missing=True, **quiet)
    return folder / "data"


def write_networks(run_dir, data_dir, shaken):
    """Networks with weights of no training, in the files that training leaves; each class wins somewhere."""
    manifest = records.read_manifest(data_dir)
    for name, seed in SEEDS.items():
        config = make_config(networks.get(name), manifest, start_filters=FILTERS, depth=DEPTH)
        folder = runs.network_dir(run_dir, name)
        folder.mkdir(parents=True)
        second = config.segmentation_channels
        model = models.build(config.network, config.channels, FILTERS, DEPTH, seed=seed, second_channels=second)
        model = shaken(model, seed)
        if config.network.classes == len(VALUES) and not config.network.second_input:
            even(model, config.channels)
        model.save_weights(str(folder / runs.WEIGHTS))
        artefacts.write_json(folder / runs.CONFIG, config.document())
        artefacts.write_json(folder / runs.FINISHED, {"weights_sha256": artefacts.sha256(folder / runs.WEIGHTS)})


def even(model, channels):
    """Weights by which each class wins somewhere, and clearly."""
    images = np.random.default_rng(0).normal(size=(2, 32, 32, channels)).astype(np.float32)
    logits = model(images)
    first = (logits[0] if isinstance(logits, tuple) else logits).numpy()
    last, spread = model.structure.logit_head[1], 1.5 / first.std(axis=(0, 1, 2))
    kernel, bias = last.get_weights()
    last.set_weights([kernel * spread, (bias - np.median(first, axis=(0, 1, 2))) * spread])
