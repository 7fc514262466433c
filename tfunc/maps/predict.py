"""Trained networks -> probability, prediction and uncertainty of each subject, as NIfTI in the subject's own space."""

import dataclasses
import pathlib
import zlib

import numpy as np
import tensorflow as tf

from data_prep import records
from data_prep.base import artefacts, progress
from data_prep.base.errors import UserError
from data_prep.readers import nifti
from tfunc import runs
from tfunc.maps import predictives
from tfunc.nets import stack
from tfunc.nets import trained as models
from tfunc.nets.graphs import graph

MAPS = {"prediction": np.uint8, "probability": np.float32, "uncertainty": np.float32}
UNCERTAINTY = {
    "probability": "normalised entropy of the probability, in [0, 1]",
    "sigma": "|sigma| of the predicted class, raw; evaluation scales it over the whole set",
    "confidence": "error probability, raw; evaluation scales it per subject",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """samples: passes of a sampled method. seed: of its masks. precision: float32 or bfloat16 convolutions.

    full_size: ISIC, also PNG maps at the photograph's own size.
    """

    samples: int = 20
    seed: int = 20
    batch_size: int = 16
    precision: str = "float32"
    full_size: bool = False


class Predictor:
    """A predictive, ready to run on subjects: one traced graph, batches filled across subjects and spread over replicas."""

    def __init__(self, make_predictive, channels, size, options, strategy=None):
        """make_predictive: called in the strategy's scope. size: height and width below which slices are refused."""
        self.options, self.size = options, size
        self.strategy = strategy or tf.distribute.get_strategy()
        with self.strategy.scope():
            self.predictive = make_predictive()
        signature = [tf.TensorSpec([None, None, None, channels], tf.float32), tf.TensorSpec([None, 2], tf.int64)]
        self.maps = graph(self.predictive, *signature)
        self.spread = graph(lambda *batch: self.strategy.run(self.predictive, batch))

    def run(self, images, seeds):
        """Maps of a batch as NumPy arrays; the rows are spread over the replicas."""
        replicas = self.strategy.num_replicas_in_sync
        if replicas == 1:
            return {name: values.numpy() for name, values in self.maps(images, seeds).items()}
        count = len(images)
        rows = np.arange(-(-count // replicas) * replicas) % count  # padded by repetition: no replica is empty
        parts = [(images[part], seeds[part]) for part in np.split(rows, replicas)]

        def share(index):
            return self.strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(parts[context.replica_id_in_sync_group][index])
            )

        results = self.spread(share(0), share(1))
        local = self.strategy.experimental_local_results
        return {name: np.concatenate([part.numpy() for part in local(v)])[:count] for name, v in results.items()}

    def subjects(self, subjects):
        """`Subject`s -> (subject, {map: array [depth, height, width]}), in order; batches run across subjects."""
        pending, batch = [], []  # subjects whose maps are being filled; slices waiting for the next batch
        for subject in subjects:
            depth, height, width = subject.image.shape[:3]
            if min(height, width) < self.size:
                found = f"{height}x{width}"
                raise UserError(subject.source, expected=f"slices of at least {self.size}x{self.size}", found=found)
            maps = {name: np.empty((depth, height, width), dtype) for name, dtype in MAPS.items()}
            pending.append([subject, maps, depth])
            images = subject.normalised()
            for index in range(depth):
                if batch and (len(batch) == self.options.batch_size or batch[0][0].shape != images[index].shape):
                    self._run(batch)
                    batch = []
                batch.append((images[index], self._seed(subject.name, index), pending[-1], index))
            del images
            while pending and pending[0][2] == 0:
                yield tuple(pending.pop(0)[:2])
        if batch:
            self._run(batch)
        yield from (tuple(entry[:2]) for entry in pending)

    def _seed(self, name, index):
        """A slice's own seed: its samples do not depend on the batch it is in, nor on the other subjects."""
        return (self.options.seed << 32) + zlib.crc32(name.encode()), index

    def _run(self, batch):
        images, seeds, entries, indices = zip(*batch, strict=True)
        results = self.run(np.stack(images), np.array(seeds, np.int64))
        arrays = {name: results[name] for name in MAPS}
        for row, (entry, index) in enumerate(zip(entries, indices, strict=True)):
            for name, values in arrays.items():
                entry[1][name][index] = values[row]
            entry[2] -= 1


def trained_predictor(method, run_dir, dataset, options, strategy=None):
    """(predictor, trained networks) of a method; raises `NotReady` naming the command for a network not trained."""
    trained = models.load_all(run_dir, method.networks, dataset)
    config = trained[0].config
    made = predictives.of(method)
    predictor = Predictor(
        lambda: made([one.model for one in trained], options),
        config["channels"],
        2 ** config["depth"],  # the smallest slice that survives the poolings
        options,
        strategy,
    )
    return predictor, trained


def write_maps(folder, subject, maps, full_size=False):
    """Writes a subject's maps; each file is whole or not there."""
    for name, values in maps.items():
        path = pathlib.Path(folder) / f"{subject.name}_{name}.nii.gz"
        nifti.write_map(path, values[0] if subject.header is None else values, subject.header)
        if full_size:
            _write_photograph(pathlib.Path(folder) / f"{subject.name}_{name}.png", values[0], subject.source_size)


def _write_photograph(path, values, size):
    """A map as PNG of (height, width) `size`: a mask 0/255 by nearest, others 16-bit of [0, 1] (clipped), bilinear."""
    image = tf.constant(values)[..., tf.newaxis]
    if values.dtype == np.uint8:
        png = tf.io.encode_png(255 * tf.image.resize(image, size, method="nearest"))
    else:
        resized = tf.clip_by_value(tf.image.resize(image, size), 0.0, 1.0)
        png = tf.io.encode_png(tf.cast(tf.round(resized * 65535.0), tf.uint16))
    with artefacts.aside(path) as temporary:
        temporary.write_bytes(png.numpy())


def is_written(folder, name, full_size=False):
    endings = ("nii.gz", "png") if full_size else ("nii.gz",)
    return all((pathlib.Path(folder) / f"{name}_{kind}.{end}").exists() for kind in MAPS for end in endings)


def predict_split(method, dataset, data_dir, run_dir, split, options, names=None, strategy=None, report=print):
    """Predicts the subjects of a split from records. What is written already stays; returns the folder.

    names: only these subjects.
    """
    manifest = records.read_manifest(data_dir)
    entries = manifest.split(split)
    chosen = [manifest.subject(name) for name in names] if names else entries
    if split != runs.HELD_OUT and (outside := [entry.name for entry in chosen if split not in entry.splits]):
        raise UserError("--subjects", expected=f"subjects of --split={split}", found=outside[0])
    if not chosen:
        known = ", ".join(sorted({name for entry in manifest.subjects for name in entry.splits}))
        raise UserError(f"--split={split}", expected=f"a split with subjects ({known})", found="none")
    if manifest.dataset != dataset:
        do = "give its --data_dir"
        raise UserError(manifest.path, expected=f"records of {dataset}", found=manifest.dataset, do=do)
    predictor, trained = trained_predictor(method, run_dir, dataset, options, strategy)
    require_same_records(manifest, trained)
    folder = runs.predictions_dir(run_dir, method.name, split)
    config = {
        "method": method.name,
        "kind": method.kind,
        "uncertainty": UNCERTAINTY[method.kind],
        "split": split,
        "samples": options.samples if method.sampled else None,
        "seed": options.seed if method.sampled else None,
        "precision": options.precision,
        "networks": {one.name: one.checksum for one in trained},
        "records": artefacts.sha256(manifest.path),
    }
    runs.claim(folder, config, "these predictions")
    there = (folder / runs.PREDICTED).exists() and set(artefacts.read_json(folder / runs.PREDICTED)["subjects"])
    waiting = [entry.name for entry in chosen if not is_written(folder, entry.name, options.full_size)]
    if not waiting and there and there >= {entry.name for entry in chosen}:
        report(f"{folder}: finished already ({len(there)} subjects)")
        return folder
    (folder / runs.PREDICTED).unlink(missing_ok=True)
    with progress.Progress(f"predict {method.name}", len(chosen), " subjects") as bar:
        bar.advance(len(chosen) - len(waiting))
        for subject, maps in predictor.subjects(records.read_subjects(data_dir, manifest, waiting)):
            write_maps(folder, subject, maps, options.full_size)
            bar.advance()
    done = [entry.name for entry in manifest.subjects if is_written(folder, entry.name)]
    complete = set(done) >= {entry.name for entry in entries or chosen}
    artefacts.write_json(
        folder / runs.PREDICTED, {**config, "subjects": done, "complete": complete, **stack.versions()}
    )
    return folder


def require_same_records(manifest, trained):
    """Raises `UserError` unless the networks were trained on these records: others may be split or scaled otherwise."""
    checksum = artefacts.sha256(manifest.path)
    for one in trained:
        if one.config["records"] != checksum:
            raise UserError(
                manifest.path,
                expected=f"the records that {one.name} was trained on",
                found="others",
                do="give their --data_dir, use --input for other patients, or train into another --run_dir",
            )


def predict_input(method, dataset, reader, path, run_dir, out_dir, options):
    """Predicts one new patient, who needs no records, labels or split. Returns (subject, maps).

    Where the same maps are there already, `maps` is None; raises `UserError` where other ones are.

    reader: the dataset's module of `data_prep`, with `find_one` and `load`. The run says how its images were prepared.
    """
    if not pathlib.Path(path).exists():
        raise UserError(path, expected="a subject's folder or an image", found="nothing")
    predictor, trained = trained_predictor(method, run_dir, dataset, options)
    subject = reader.load(reader.find_one(path), trained[0].config["input"])
    about = {
        "method": method.name,
        "kind": method.kind,
        "uncertainty": UNCERTAINTY[method.kind],
        "source": str(pathlib.Path(subject.source).resolve()),
        "samples": options.samples if method.sampled else None,
        "seed": options.seed if method.sampled else None,
        "precision": options.precision,
        "networks": {one.name: one.checksum for one in trained},
    }
    index = pathlib.Path(out_dir) / f"{subject.name}.json"  # written last: without it the maps are unfinished
    if index.exists():
        there = artefacts.read_json(index)
        difference = artefacts.difference({name: there.get(name) for name in about}, about)
        if difference:
            do = "choose another --out_dir"
            raise UserError(index, expected="maps of the same method and networks", found=difference, do=do)
        if is_written(out_dir, subject.name, options.full_size):
            return subject, None
    ((subject, maps),) = predictor.subjects([subject])
    write_maps(out_dir, subject, maps, options.full_size)
    artefacts.write_json(index, {**about, **stack.versions()})
    return subject, maps
