"""From a network's name and the user's settings to its finished training: which subjects, what it learns from, which folder."""

import dataclasses

import keras
import tensorflow as tf

from data_prep import records
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from tfunc import networks, runs
from tfunc.learning import second_input as masks
from tfunc.learning import slices as datasets
from tfunc.learning.trainer import Trainer
from tfunc.nets import trained as models

MOST_SLICES = 1024  # in a batch, where there are not more to train on


@dataclasses.dataclass(frozen=True)
class Config:
    """What a training depends on. It is written to `config.json`, and another one may not share its folder."""

    network: str
    dataset: str
    records: str  # checksum of dataset.json
    channels: int
    input: dict  # how a new subject is to be read: the dataset module's `load` options
    learns_from: dict  # checksums of the networks that its targets or inputs come from
    train_subjects: int
    count: int  # members of the ensemble or folds of the cross-validation that it is one of
    keeps: str  # which epoch's weights: best or last
    reference_quirks: bool
    epochs: int
    max_steps: int | None
    batch_size: int
    start_filters: int
    depth: int
    learning_rate: float
    average_weights: bool
    patience: int | None
    seed: int
    precision: str
    augment: str
    deterministic: bool

    @property
    def dtype_policy(self):
        return "mixed_bfloat16" if self.precision == "bfloat16" else "float32"


def input_options(manifest):
    """The `load` options under which a new subject is read as the records were."""
    if manifest.dataset == "isic":
        return {"image_size": [manifest.height, manifest.width], "intensity": manifest.intensity}
    return {}


def fit(network, dataset, data_dir, run_dir, settings, strategy=None, report=print):
    """Trains `network` into its folder of the run; finds it where it is finished. Returns (folder, finished.json).

    settings: the fields of `Config` that are the user's; `epochs` None is the network's own number.
    Raises `UserError` where the folder holds another configuration, `NotReady` without records or without the networks
    and predictions that it learns from.
    """
    manifest = records.read_manifest(data_dir)
    if manifest.dataset != dataset:
        do = "give its --data_dir"
        raise UserError(manifest.path, expected=f"records of {dataset}", found=manifest.dataset, do=do)
    quirks = settings["reference_quirks"]
    names = networks.subjects(network, manifest, quirks, settings["folds"])
    base, folders, sources = _learns_from(network, manifest, run_dir, names, settings)
    shape = {name: base.config[name] if base else settings[name] for name in ("start_filters", "depth")}
    config = Config(
        network=network.name,
        dataset=dataset,
        records=artefacts.sha256(manifest.path),
        channels=len(manifest.channels),
        input=input_options(manifest),
        learns_from=sources,
        train_subjects=len(names[0]),
        count=network.count,
        keeps="last" if network.keeps_last(dataset, quirks) else "best",
        **{
            **{name: value for name, value in settings.items() if name != "folds"},
            **(shape if network.objective == "auxiliary_feat" else {}),
            # to stop by the held-out fold's Dice would be to select on it
            "patience": None if network.keeps_last(dataset, quirks) else settings["patience"],
            "epochs": network.epochs(dataset, quirks) if settings["epochs"] is None else settings["epochs"],
            "seed": settings["seed"] + network.seed,
        },
    )
    networks.check_settings(dataclasses.asdict(config))
    folder = runs.network_dir(run_dir, network.name)
    done = runs.finished(folder)
    parts = zip(names, ("train", "valid"), strict=True)
    slices = None if done else [_slices(data_dir, manifest, *part, folders) for part in parts]
    for part in slices or ():
        if min(part.height, part.width) < 2**config.depth:
            found = f"{part.height}x{part.width}"
            raise UserError(manifest.path, expected=f"slices of {2**config.depth} or more for this depth", found=found)
    most = max(MOST_SLICES, slices[0].training_count) if slices else None
    if slices and config.batch_size > most:  # a batch's room is taken whole, however few slices there are
        raise UserError(f"--batch_size={config.batch_size}", expected=f"at most {most}")
    runs.claim(folder, dataclasses.asdict(config), f"the network {network.name}")  # once the data can be trained on
    if done:
        report(f"{folder}: trained already (best epoch {done['best_epoch']}, validation Dice {done['valid_dice']:.4f})")
        return folder, done
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    return folder, Trainer(network, config, *slices, folder, strategy, report, base).run()


def _learns_from(network, manifest, run_dir, names, settings):
    """(trained baseline or None, {subject: folder of its mask} or None, their checksums) for the auxiliary networks."""
    if network.objective == "auxiliary_feat":
        base = models.load(run_dir, "baseline", manifest.dataset)
        return base, None, {"baseline": base.checksum}
    if network.objective == "auxiliary_segm":
        folders = masks.sources(run_dir, manifest, [*names[0], *names[1]], settings["folds"])
        return None, folders, masks.checksums(folders)
    return None, None, {}


def _slices(data_dir, manifest, names, split, folders):
    found = datasets.Slices(data_dir, manifest, names, split)
    if folders is not None:
        found.masks = masks.Masks(found.entries, folders)
    return found
