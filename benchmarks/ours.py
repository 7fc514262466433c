"""The work that benchmarks time: one training step, one batch of maps, on made-up slices of the paper's size.

Each function prepares what it needs and gives a call without arguments that does the work once and returns NumPy, as
`train` and `predict` run it: the same graphs, through the same classes. Needs TensorFlow in this process.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

SEED = 20


@dataclasses.dataclass(frozen=True)
class Size:
    """Of the work: slices a call, their height and width, and the network. The paper's by default."""

    batch: int = 4
    height: int = 192
    width: int = 256
    filters: int = 32
    depth: int = 4
    channels: int = 3

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}, batch {self.batch}, {self.filters} filters, depth {self.depth}"


def slices(size: Size) -> np.ndarray:
    """Normalised slices, float32 [batch, height, width, channels]."""
    shape = size.batch, size.height, size.width, size.channels
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def labels(size: Size) -> np.ndarray:
    """Labels of two classes, uint8 [batch, height, width]."""
    return np.random.default_rng(2).integers(0, 2, (size.batch, size.height, size.width), np.uint8)


def config(size: Size, precision: str) -> Any:
    """The configuration of a baseline network of that size; raises `UserError` for a precision that `train` has not."""
    from data_prep import tasks
    from tfunc import networks
    from tfunc.learning import settings
    from tfunc.nets import streams
    from tfunc.runs import Config

    chosen = {name: value for name, value in settings.defaults().items() if name in settings.OWN}
    chosen |= {"epochs": 1, "kept_epochs": 0, "precision": precision, "seed": SEED}
    chosen |= {"batch_size": size.batch, "start_filters": size.filters, "depth": size.depth}
    settings.check({"precision": precision})
    task = tasks.resolved(tasks.find("isic"), frame=(size.height, size.width))
    return Config(
        network=networks.get("baseline").resolved(2),
        task=task,
        records="",
        learns_from={},
        train_subjects=size.batch,
        keeps="best",
        streams=streams.VERSION,
        **chosen,
    )


def training(size: Size, precision: str, strategy: Any = None, xla: bool = False) -> Callable[[], float]:
    """One optimizer step of a `train`, over a strategy's replicas where there is one; the loss."""
    import tensorflow as tf

    from tfunc.learning.steps import Steps

    steps = Steps(config(size, precision), strategy or tf.distribute.get_strategy())
    step = tf.function(steps.step, jit_compile=xla, autograph=False)
    batch = {
        "image": slices(size),
        "label": labels(size),
        "weight": np.full(size.batch, 1 / size.batch, np.float32),
        "row": np.arange(size.batch, dtype=np.int32),
    }
    given, number = _shared(batch, steps.strategy), tf.constant(1, tf.int64)
    return lambda: float(step(given, number))


def _shared(batch, strategy):
    """The batch as tensors, its rows spread over the replicas."""
    import tensorflow as tf

    count = strategy.num_replicas_in_sync
    if count == 1:
        return {name: tf.constant(values) for name, values in batch.items()}
    parts = {name: np.split(values, count) for name, values in batch.items()}

    def share(name):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[name][context.replica_id_in_sync_group])
        )

    return {name: share(name) for name in batch}


def predictor(size: Size, precision: str, samples: int = 0, members: int = 1, engine: str = "tensorflow") -> Any:
    """The `Predictor` of a baseline (samples 0), of MC dropout, or of an ensemble (members above 1), untrained."""
    from tfunc.maps.options import Options
    from tfunc.maps.predictives import Softmax
    from tfunc.maps.predictor import Predictor
    from tfunc.maps.sampled import Ensemble, MonteCarlo
    from tfunc.nets.unet import unet

    options = Options(samples=samples or 1, batch_size=size.batch, precision=precision, draws="subject", engine=engine)
    models = [unet(size.channels, size.filters, depth=size.depth, seed=SEED + index) for index in range(members)]
    kind = MonteCarlo if samples else Ensemble if members > 1 else Softmax
    return Predictor(functools.partial(kind, models, options.folded), size.channels, 2**size.depth, options)


def seeds(size: Size) -> np.ndarray:
    """int64 [batch, 2]: the slices of one subject share their draws, as `predict` has it."""
    return np.tile(np.array([[SEED << 32, 0]], np.int64), (size.batch, 1))


def prediction(
    size: Size, precision: str, samples: int = 0, members: int = 1, engine: str = "tensorflow"
) -> Callable[[], dict[str, np.ndarray]]:
    """All maps of one batch: probability, segmentation, entropy; mutual information where there are samples or members."""
    made, images, drawn = predictor(size, precision, samples, members, engine), slices(size), seeds(size)
    return lambda: made.run(images, drawn)


def probability(size: Size, precision: str, xla: bool = False) -> Callable[[], np.ndarray]:
    """The probability of one batch and nothing else, which is what other engines are asked for."""
    import tensorflow as tf

    from tfunc.maps.by_size import BySize

    made, images, drawn = predictor(size, precision), slices(size), seeds(size)

    def only(batch, numbers):
        return {"probability": made.predictive(batch, numbers)["probability"]}

    if xla:
        called = tf.function(only, jit_compile=True, autograph=False)
    else:
        called = BySize(only, size.channels, precision=precision)
    return lambda: called(images, drawn)["probability"].numpy()


def write_export(size: Size, folder: Any, method: str = "baseline", samples: int = 20, channels: str = "isic") -> Any:
    """Writes an untrained network as `export` does, into a version's folder; returns the model. channels: whose task."""
    from data_prep import tasks
    from tfunc import kinds, methods
    from tfunc.maps import predictives
    from tfunc.maps.options import Options
    from tfunc.nets.unet import unet
    from tfunc.serving import export
    from tfunc.serving.description import Description

    task, row = tasks.resolved(tasks.find(channels), frame=(size.height, size.width)), methods.get(method)
    model = unet(len(task.channels), size.filters, depth=size.depth, seed=1)
    description = Description(task, kinds.get(row.kind), row.sampled, samples, None, 2**size.depth)
    config = {"method": row.name, "samples": samples}
    export.write(folder, "benchmark", predictives.of(row)([model], Options(samples=samples)), description, config)
    return model
