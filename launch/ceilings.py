"""The most that a whole-number flag may be: far above what anyone needs, far below what takes a machine's memory or days.

A launcher's flag refuses more while it is read, before anything is imported or opened, in one line with exit code 2.
"""

from __future__ import annotations

PROCESSES = 1024  # of one machine
PASSES = 10_000  # over the same data: samples, members, folds, seeds
SEED = 2**63 - 1  # where nothing narrower is said when it is used
VERSION = 2**31 - 1  # TensorFlow Serving's, of a model
LABEL = 65535  # the highest number that a raw label may be
SUBJECTS = 100_000
JOBS = 1_000_000
SIDE = 1_000_000  # of a picture in pixels, and a share of a --ratio

# of a training's settings, by the name of the flag
TRAINING = {
    "epochs": 1_000_000,
    "max_steps": 1_000_000_000,
    "batch_size": 65_536,
    "start_filters": 4096,
    "depth": 12,  # a slice of 4096 has one voxel left
    "patience": 1_000_000,
    "seed": SEED,
    "kept_epochs": PASSES,
    "ensemble_size": PASSES,
    "folds": PASSES,
}
