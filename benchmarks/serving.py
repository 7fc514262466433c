"""The served model: folded inference beside the training graph's, and the memory of one whole patient or photograph.

    python benchmarks/serving.py speed [--size=192,256] [--batch=4] [--start_filters=32]
    python benchmarks/serving.py memory [--method=baseline_mc] [--samples=20] [--shape=155,240,240] [--start_filters=32]
    python benchmarks/serving.py photograph [--method=baseline_mc] [--samples=20] [--pixels=8940,8940] [--size=192,256]

`speed` exports one untrained baseline and lets its `serving_default` and the same network's unfolded graph (convolution,
dropout off, batch normalisation and ReLU one by one) take turns; prints the medians and their ratio.

`memory` exports an untrained network and sends a patient of noise through `subject` in a process that has TensorFlow only;
prints its seconds and peak resident size (claim: below 2560 MiB, whatever the samples). With 20 samples some minutes.
`photograph` does so with a JPEG of that height and width, through `encoded` and `encoded_full`.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

ROUNDS = 15
CLIENT = """
import json, sys, time
import numpy as np
import tensorflow as tf
folder, signature, *what = sys.argv[1:]
if signature.startswith("encoded"):
    inputs = {"images": tf.constant([open(what[0], "rb").read()])}
else:
    volume = np.random.default_rng(0).integers(0, 1000, (1, *map(int, what), 4), np.int16)
    if signature == "subject":
        inputs = {"volume": tf.constant(volume, tf.float32)}
    else:
        inputs = {"volume": tf.constant([volume[0].tobytes()]), "shape": tf.constant([volume.shape[1:]], tf.int64)}
    del volume
model = tf.saved_model.load(folder)
start = time.perf_counter()
maps = model.signatures[signature](**inputs)
seconds = time.perf_counter() - start
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
peak = int(status["VmHWM"].split()[0]) / 1024  # a child's ru_maxrss begins at its parent's
assert all(np.isfinite(values).all() for values in maps.values() if values.dtype.is_floating)
print(json.dumps({"signature": signature, "seconds": round(seconds, 1), "MiB": round(peak)}))
"""


def exported(folder, task, options, method, start_filters):
    """Writes an untrained network as `export` does; returns the model."""
    from tfunc import kinds, methods
    from tfunc.maps import predictives
    from tfunc.nets.unet import unet
    from tfunc.serving import export
    from tfunc.serving.description import Description

    model, method = unet(len(task.channels), start_filters, seed=1), methods.get(method)
    description = Description(task, kinds.get(method.kind), method.sampled, 20, None, 2**4)
    config = {"method": method.name, "samples": options.samples}
    export.write(pathlib.Path(folder), "benchmark", predictives.of(method)([model], options), description, config)
    return model


def speed(flags):
    import tensorflow as tf

    from data_prep import tasks
    from tfunc.maps import predict as prediction

    height, width = map(int, flags.size.split(","))
    with tempfile.TemporaryDirectory() as folder:
        photographs = tasks.resolved(tasks.find("isic"), frame=(height, width))
        model = exported(folder, photographs, prediction.Options(), "baseline", flags.start_filters)
        served = tf.saved_model.load(folder).signatures["serving_default"]
    unfolded = tf.function(lambda images: tf.nn.softmax(model(images, training=False)), jit_compile=False)
    images = tf.random.stateless_normal([flags.batch, height, width, 3], [1, 2])
    calls = {"served, folded": lambda: served(images=images)["probability"].numpy()}
    calls["training graph"] = lambda: unfolded(images).numpy()
    times = {name: [] for name in calls}
    for call in calls.values():
        call()  # traces, warms up
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    rates = {name: flags.batch / statistics.median(seconds) for name, seconds in times.items()}
    print(f"{flags.size}, batch {flags.batch}, {flags.start_filters} filters; images/s")
    print(*(f"{name} {rate:.2f}" for name, rate in rates.items()), sep="  ")
    print(f"folded / unfolded: {rates['served, folded'] / rates['training graph']:.2f}")


def memory(flags):
    from data_prep import tasks
    from tfunc.maps import predict as prediction

    with tempfile.TemporaryDirectory() as folder:
        volumes, options = tasks.find("brats"), prediction.Options(samples=flags.samples)
        exported(folder, volumes, options, flags.method, flags.start_filters)
        for signature in ("subject", "subject_bytes"):
            ask(folder, signature, flags.shape.split(","), flags)


def photograph(flags):
    import numpy as np
    import PIL.Image

    from data_prep import tasks
    from tfunc.maps import predict as prediction

    height, width = map(int, flags.pixels.split(","))
    with tempfile.TemporaryDirectory() as folder:
        options, size = prediction.Options(samples=flags.samples), tuple(map(int, flags.size.split(",")))
        exported(folder, tasks.resolved(tasks.find("isic"), frame=size), options, flags.method, flags.start_filters)
        path = pathlib.Path(folder) / "photograph.jpg"
        noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
        PIL.Image.fromarray(noise).resize((width, height)).save(path)
        for signature in ("encoded", "encoded_full"):
            ask(folder, signature, [path], flags)


def ask(folder, signature, what, flags):
    """Sends one request from a process of its own; prints what it took as one line of JSON."""
    command = [sys.executable, "-c", CLIENT, folder, signature, *map(str, what)]
    line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    print(
        json.dumps({"method": flags.method, "samples": flags.samples, **json.loads(line.splitlines()[-1])}), flush=True
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "memory", "photograph"])
    parser.add_argument("--size", default="192,256")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--start_filters", type=int, default=32)
    parser.add_argument("--method", default="baseline_mc", help="one that predicts with a single network")
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--shape", default="155,240,240")
    parser.add_argument("--pixels", default="8940,8940", help="height,width; the cap is 80 megapixels")
    flags = parser.parse_args()
    from data_prep.base.processes import start_tensorflow

    start_tensorflow()
    {"speed": speed, "memory": memory, "photograph": photograph}[flags.what](flags)


if __name__ == "__main__":
    main()
