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

from data_prep.base import processes

ROUNDS, STEPS = 5, 3


def ours(batch, height, width, filters, precision):
    """Training step and inference of tfunc's U-Net; inference is the folded graph that predicts and serves."""
    import tensorflow as tf

    from tfunc.learning import losses
    from tfunc.nets import folded, sampling
    from tfunc.nets.unet import unet

    model = unet(3, filters, seed=1, dtype="mixed_bfloat16" if precision == "bfloat16" else None)
    train = _tensorflow_step(model, losses.cross_entropy_rows, sampling)
    network = folded.FoldedUNet(model, precision)
    infer = tf.function(lambda x: tf.nn.softmax(network(x)), jit_compile=False)
    return _tensorflow_pair(train, infer, batch, height, width)


def keras_layers(batch, height, width, filters, precision):
    """The same network from Keras' own layers: what one would write first."""
    import keras
    import tensorflow as tf

    from tfunc.learning import losses

    dtype = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    layers = keras.layers

    def unit(x, count):
        x = layers.Conv2D(count, 3, padding="same", dtype=dtype)(x)
        x = layers.SpatialDropout2D(0.05, dtype=dtype)(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype)(x)
        return layers.ReLU(dtype=dtype)(x)

    inputs = x = keras.Input((height, width, 3))
    skips = []
    for level in range(4):
        x = unit(unit(x, filters * 2**level), filters * 2**level)
        skips.append(x)
        x = layers.MaxPooling2D(dtype=dtype)(x)
    x = unit(unit(x, filters * 16), filters * 16)
    for level in reversed(range(4)):
        x = layers.Conv2D(filters * 2**level, 3, padding="same", dtype=dtype)(layers.UpSampling2D(dtype=dtype)(x))
        x = layers.Concatenate(dtype=dtype)([x, skips[level]])
        x = unit(unit(x, filters * 2**level), filters * 2**level)
    logits = layers.Conv2D(2, 1, dtype="float32")(unit(x, filters))
    model = keras.Model(inputs, logits)
    train = _tensorflow_step(model, losses.cross_entropy_rows, None)
    infer = tf.function(lambda x: tf.nn.softmax(model(x, training=False)), jit_compile=False)
    return _tensorflow_pair(train, infer, batch, height, width)


def _tensorflow_step(model, loss_rows, sampling):
    import keras
    import tensorflow as tf

    optimizer = keras.optimizers.Adam(1e-4, epsilon=1e-8)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=False)
    def step(x, y, number):
        keeps = None
        if sampling is not None:
            rows = tf.shape(x)[0]
            uniform = sampling.training_uniform(1, number, tf.range(rows), rows, model.dropout_rates)
            keeps = {"keeps": sampling.keeps(uniform, model.dropout_rates)}
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(loss_rows(model(x, training=True, **(keeps or {})), y))
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
        return loss

    return step


def _tensorflow_pair(train, infer, batch, height, width):
    import tensorflow as tf

    x = tf.random.stateless_normal([batch, height, width, 3], [1, 2])
    y = tf.cast(tf.random.stateless_uniform([batch, height, width], [3, 4]) > 0.5, tf.uint8)
    return lambda: float(train(x, y, tf.constant(1, tf.int64))), lambda: infer(x).numpy()


def torch_unet(batch, height, width, filters, precision):
    """The reference's network in PyTorch, channels last, with autocast for bfloat16."""
    import torch
    from torch import nn
    from torch.nn import functional

    def unit(cin, cout):
        return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1), nn.Dropout2d(0.05), nn.BatchNorm2d(cout), nn.ReLU())

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [filters * 2**level for level in range(5)]
            pairs = zip([3, *widths], widths, strict=False)
            self.down = nn.ModuleList(nn.Sequential(unit(a, b), unit(b, b)) for a, b in pairs)
            self.rise = nn.ModuleList(nn.Conv2d(2 * w, w, 3, padding=1) for w in widths[:4])
            self.up = nn.ModuleList(nn.Sequential(unit(2 * w, w), unit(w, w)) for w in widths[:4])
            self.head = nn.Sequential(unit(filters, filters), nn.Conv2d(filters, 2, 1))

        def forward(self, x):
            skips = []
            for level in range(4):
                x = self.down[level](x)
                skips.append(x)
                x = functional.max_pool2d(x, 2)
            x = self.down[4](x)
            for level in reversed(range(4)):
                x = self.rise[level](functional.interpolate(x, scale_factor=2, mode="nearest"))
                x = self.up[level](torch.cat([x, skips[level]], 1))
            return self.head(x)

    model = UNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    x = torch.randn(batch, 3, height, width).to(memory_format=torch.channels_last)
    y = torch.randint(0, 2, (batch, height, width))
    cast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")

    def train():
        model.train()
        optimizer.zero_grad()
        with cast:
            logits = model(x)
        loss = functional.cross_entropy(logits.float(), y)
        loss.backward()
        optimizer.step()
        return float(loss)

    def infer():
        model.eval()
        with torch.no_grad(), cast:
            return functional.softmax(model(x).float(), 1).numpy()

    return train, infer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="192,256")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--start_filters", type=int, default=32)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    flags = parser.parse_args()
    height, width = map(int, flags.size.split(","))
    processes.start_tensorflow()  # with the settings of the launchers
    candidates = {}
    for name, make in (("tfunc", ours), ("keras layers", keras_layers), ("torch", torch_unet)):
        try:
            candidates[name] = make(flags.batch, height, width, flags.start_filters, flags.precision)
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
