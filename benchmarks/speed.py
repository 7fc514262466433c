"""Images a second in training and inference: this toolkit's U-Net, the same from Keras' own layers, and PyTorch.

    python benchmarks/speed.py [--size=192,256] [--batch=4] [--start_filters=32] [--precision=float32]

PyTorch takes part where it is installed (pip install torch). All candidates take turns in one run, so that a machine
whose speed drifts treats them alike; medians are printed, with the ratio to ours.
"""

import argparse
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import ours

from data_prep.base import processes

ROUNDS, STEPS = 5, 3


def tfunc(size, precision):
    """Training step and inference of tfunc's U-Net: the graphs that train and predict."""
    return ours.training(size, precision), ours.probability(size, precision)


def keras_layers(size, precision):
    """The same network from Keras' own layers: what one would write first."""
    import keras
    import tensorflow as tf

    from tfunc.learning import losses
    from tfunc.nets import classes

    filters, depth = size.filters, size.depth
    dtype = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    layers = keras.layers

    def unit(x, count):
        x = layers.Conv2D(count, 3, padding="same", dtype=dtype)(x)
        x = layers.SpatialDropout2D(0.05, dtype=dtype)(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype)(x)
        return layers.ReLU(dtype=dtype)(x)

    inputs = x = keras.Input((size.height, size.width, size.channels))
    skips = []
    for level in range(depth):
        x = unit(unit(x, filters * 2**level), filters * 2**level)
        skips.append(x)
        x = layers.MaxPooling2D(dtype=dtype)(x)
    x = unit(unit(x, filters * 2**depth), filters * 2**depth)
    for level in reversed(range(depth)):
        x = layers.Conv2D(filters * 2**level, 3, padding="same", dtype=dtype)(layers.UpSampling2D(dtype=dtype)(x))
        x = layers.Concatenate(dtype=dtype)([x, skips[level]])
        x = unit(unit(x, filters * 2**level), filters * 2**level)
    logits = layers.Conv2D(2, 1, dtype="float32")(unit(x, filters))
    model = keras.Model(inputs, logits)
    optimizer = keras.optimizers.Adam(1e-4, epsilon=1e-8)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(losses.cross_entropy_rows(model(x, training=True), y))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    infer = tf.function(lambda x: classes.foreground(model(x, training=False)), jit_compile=False)
    x, y = tf.constant(ours.slices(size)), tf.constant(ours.labels(size))
    return lambda: float(step(x, y)), lambda: infer(x).numpy()


def torch(size, precision):
    """The same in PyTorch, as one would write it first: channels last, autocast for bfloat16. `peers.py` has its best."""
    import peers_torch

    train = peers_torch.training(size, precision)["eager"]
    inference = peers_torch.inference(size, precision)
    return train, inference["eager" if precision == "float32" else "eager, autocast"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="192,256")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--start_filters", type=int, default=32)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    flags = parser.parse_args()
    height, width = map(int, flags.size.split(","))
    processes.start_tensorflow()  # with the settings of the launchers
    size, candidates = ours.Size(flags.batch, height, width, flags.start_filters), {}
    for name, make in (("tfunc", tfunc), ("keras layers", keras_layers), ("torch", torch)):
        try:
            candidates[name] = make(size, flags.precision)
        except ImportError as error:
            print(f"{name}: left out, {error}")
    times = {(name, part): [] for name in candidates for part in (0, 1)}
    for pair in candidates.values():
        for function in pair:
            function()  # traces, warms up
    for _ in range(ROUNDS):
        for name, pair in candidates.items():
            for part, function in enumerate(pair):
                for _ in range(STEPS):
                    start = time.perf_counter()
                    function()
                    times[name, part].append(time.perf_counter() - start)
    print(
        f"{flags.size}, batch {flags.batch}, {flags.start_filters} filters, {flags.precision}, XLA off; images/s (ratio)"
    )
    for part, title in enumerate(("training", "inference")):
        rates = {name: flags.batch / statistics.median(times[name, part]) for name in candidates}
        print(title, *(f"{name} {rate:.2f} ({rates['tfunc'] / rate:.2f})" for name, rate in rates.items()), sep="  ")


if __name__ == "__main__":
    main()
