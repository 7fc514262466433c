"""Written segmentations as a second input: what auxiliary segm. learns from.

Each mask must come from a network that never saw its subject: the cross-validation's held-out predictions. A subject
outside the cross-validation (ISIC's validation set) takes the real baseline's.
"""

import pathlib

import numpy as np
import tensorflow as tf

from data_prep.base import artefacts
from data_prep.base.errors import NotReady, UserError
from data_prep.readers import nifti
from tfunc import networks, runs


def sources(run_dir, manifest, names, folds):
    """{subject: folder of its mask}. folds: number of folds. Raises `NotReady` where predictions are missing."""
    folders = {}
    for index, (_, held_out) in enumerate(networks.folds(manifest, folds)):
        folder = runs.predictions_dir(run_dir, networks.fold(index, folds).name, runs.HELD_OUT)
        folders.update(dict.fromkeys(held_out, folder))
    valid = runs.predictions_dir(run_dir, "baseline", "valid")
    chosen = {name: folders.get(name, valid) for name in names}
    for folder in dict.fromkeys(chosen.values()):
        if not (folder / runs.PREDICTED).exists():
            do = f"run `python launch/study.py --dataset={manifest.dataset} --methods=auxiliary_segm`"
            raise NotReady(folder, expected="finished predictions", found="none", do=do)
    return chosen


def checksums(folders):
    """{folder's name: checksums of the networks that predicted it}, for the configuration of what is trained on them."""
    return {
        folder.name: artefacts.read_json(folder / runs.PREDICTED)["networks"]
        for folder in sorted(set(map(pathlib.Path, folders.values())))
    }


class Masks:
    """The masks of some subjects, packed to one bit a voxel, looked up by (subject number, slice) in a tf.data pipeline.

    155 slices of 240x240 of 125 subjects take 140 MB.
    """

    def __init__(self, entries, folders):
        self.height, self.width = entries[0].shape[1:]
        self.first, packed, count = [], [], 0
        for entry in entries:
            path = pathlib.Path(folders[entry.name]) / f"{entry.name}_prediction.nii.gz"
            mask, _ = nifti.read_map(path)
            mask = mask.reshape(entry.slices, -1) if mask.size == np.prod(entry.shape) else None
            if mask is None:
                raise UserError(path, expected=f"a mask of {entry.shape}", found="another shape", do="predict again")
            packed.append(np.packbits(mask > 0, axis=1))
            self.first.append(count)
            count += entry.slices
        self.first, self.bits = tf.constant(self.first, tf.int32), tf.constant(np.concatenate(packed))

    def of(self, subject, slice):
        """uint8 {0, 1} [height, width] of one slice."""
        row = self.bits[self.first[subject] + slice]
        places = tf.constant([[7, 6, 5, 4, 3, 2, 1, 0]], tf.uint8)  # np.packbits puts the first voxel highest
        bits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(row[:, tf.newaxis], places), tf.constant(1, tf.uint8))
        return tf.reshape(tf.reshape(bits, [-1])[: self.height * self.width], [self.height, self.width])
