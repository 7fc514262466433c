"""What `device.py` times, in a process of each engine: one line of JSON a case, as soon as it is known."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import pathlib
import statistics
import tempfile
import time

SAMPLES, MEMBERS = 20, 10
PRECISIONS = ("bfloat16", "float32", "tf32", "float16")  # the most important first
XLA = (False, True)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How large a run is. seconds: a case is repeated for. calls: at least."""

    size: object
    training: int = 32  # the paper's batch
    inference: int = 64
    volume: int = 16  # slices of a subject under MC dropout and in an ensemble
    samples: int = SAMPLES
    members: int = MEMBERS
    images: int = 256  # of the pipeline
    levels: tuple[str, ...] = ("none", "strong")  # of its augmentation
    seconds: float = 1.0
    calls: int = 3
    precisions: tuple[str, ...] = PRECISIONS
    xla: tuple[bool, ...] = XLA

    def of(self, batch):
        """The size of the work with that batch."""
        return dataclasses.replace(self.size, batch=batch)


def plan(flags):
    """The paper's network on its photographs; or the least that runs."""
    import ours

    if not flags.tiny:
        return Plan(ours.Size())
    least = ours.Size(2, 16, 16, 2, 1)
    return Plan(least, 2, 2, 2, 2, 2, 20, ("none",), 0.0, 1, ("float32",), (False,))


def work(flags, shares):
    """Runs the parts that the flags name, each until its share of the seconds is spent."""
    end, names = time.monotonic() + flags.seconds, flags.parts.split(",")
    chosen, start = ENGINES[flags.worker], STARTS[flags.worker]
    device = start(flags)
    made = plan(flags)
    for index, name in enumerate(names):
        later = sum(shares[other] for other in names[index:])
        seconds = max(0.0, end - time.monotonic()) * shares[name] / later
        say({"begins": name, "seconds": seconds})
        until = time.monotonic() + seconds
        for row, make in chosen[name](made, device):
            row = {"part": name, "engine": flags.worker, **row, "device": device}
            if time.monotonic() >= until:
                say({**row, "left out": "its share of the time was spent"})
                continue
            say({**row, **timed(make, made)})


def say(row):
    """One line of JSON."""
    print(json.dumps(row), flush=True)


def timed(make, made):
    """{images/s, first call s} of a case, or why it is left out. make: gives (call, images a call), or a rate."""
    start = time.perf_counter()
    try:
        what = make()
        if isinstance(what, float):
            return {"images/s": round(what, 3), "first call s": round(time.perf_counter() - start, 3)}
        call, images = what
        call()
    except Exception as error:  # a form that this version or device has not: the others are measured all the same
        words = str(error).strip().splitlines() or [""]
        return {"left out": f"{type(error).__name__}: {words[0][:160]}"}
    first, times = time.perf_counter() - start, []
    while len(times) < made.calls or sum(times) < made.seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return {"images/s": round(images / statistics.median(times), 3), "first call s": round(first, 3)}


# -------------------------------------------------------------------------------------------------------------- tfunc


def start_tfunc(flags):
    """Starts TensorFlow; the device's name."""
    from data_prep.base import processes

    processes.start_tensorflow()
    import tensorflow as tf

    (first, *_) = tf.config.list_physical_devices(flags.device)
    return tf.config.experimental.get_device_details(first).get("device_name", flags.device)


def cases(made, xla):
    """(row, precision of the network, function to call before the graph is made) of each precision and form."""
    import tensorflow as tf

    for precision, jit in itertools.product(made.precisions, xla):
        rounded = functools.partial(tf.config.experimental.enable_tensor_float_32_execution, precision == "tf32")
        name = "float32" if precision == "tf32" else precision
        yield {"precision": precision, "form": "XLA" if jit else "graph"}, name, jit, rounded


def after(first, make):
    """A maker that does something first."""

    def both():
        first()
        return make()

    return both


def tfunc_inference(made, device):
    """The probability of a batch."""
    import ours

    size = made.of(made.inference)
    for row, precision, jit, first in cases(made, made.xla):
        yield row, after(first, lambda p=precision, j=jit: (ours.probability(size, p, j), size.batch))


def tfunc_training(made, device):
    """A step of Adam."""
    import ours

    size = made.of(made.training)
    for row, precision, jit, first in cases(made, made.xla):
        yield row, after(first, lambda p=precision, j=jit: (ours.training(size, p, xla=j), size.batch))


def tfunc_mc(made, device):
    """The maps of a subject's slices by MC dropout, and the deterministic pass beside it."""
    import ours

    size = made.of(made.volume)
    for row, precision, _, first in cases(made, (False,)):
        for samples in (made.samples, 0):
            form = {"form": f"T={samples}" if samples else "one pass", "precision": row["precision"]}
            part = {"part": "mc" if samples else "deterministic"}
            yield (
                {**form, **part},
                after(first, lambda p=precision, n=samples: (ours.prediction(size, p, n), size.batch)),
            )


def tfunc_ensemble(made, device):
    """The maps of a subject's slices by an ensemble."""
    import ours

    size = made.of(made.volume)
    for row, precision, _, first in cases(made, (False,)):
        row = {**row, "form": f"K={made.members}"}
        yield row, after(first, lambda p=precision: (ours.prediction(size, p, members=made.members), size.batch))


def tfunc_pipeline(made, device):
    """Slices out of the training pipeline, an epoch a call."""
    import augmentation

    for level in made.levels:

        def make(level=level):
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(None):
                slices = augmentation.made_up(pathlib.Path(folder), made.images, (made.size.height, made.size.width))
                augmentation.epoch(slices, 0, level)
                return statistics.median(augmentation.epoch(slices, turn + 1, level) for turn in range(made.calls))

        yield {"form": f"augment={level}"}, make


# -------------------------------------------------------------------------------------------------------------- torch


def start_torch(flags):
    """Looks for the device; its name."""
    import torch

    if flags.device == "CPU":
        return "CPU"
    torch.backends.cudnn.benchmark = True
    return torch.cuda.get_device_name(0)


def torch_cases(made, device, candidates):
    """(row, maker) of each precision and candidate. candidates: (precision, device) -> ({name: call}, images a call)."""
    import torch

    where = "cpu" if device == "CPU" else "cuda"
    for precision in made.precisions:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        calls, images = candidates("float32" if precision == "tf32" else precision, where)
        for name, call in calls.items():
            yield {"precision": precision, "form": name}, lambda call=call, images=images: (call, images)


def torch_inference(made, device):
    """The probability of a batch."""
    import peers_torch

    size = made.of(made.inference)
    yield from torch_cases(made, device, lambda p, where: (peers_torch.inference(size, p, where), size.batch))


def torch_training(made, device):
    """A step of Adam."""
    import peers_torch

    size = made.of(made.training)
    yield from torch_cases(made, device, lambda p, where: (peers_torch.training(size, p, where), size.batch))


def torch_mc(made, device):
    """The mean of T passes with live dropout, and its entropy."""
    import peers_torch

    size = made.of(made.volume)

    def candidates(precision, where):
        return peers_torch.monte_carlo(size, precision, made.samples, where), size.batch

    yield from torch_cases(made, device, candidates)


ENGINES = {
    "tfunc": {
        "inference": tfunc_inference,
        "training": tfunc_training,
        "mc": tfunc_mc,
        "ensemble": tfunc_ensemble,
        "pipeline": tfunc_pipeline,
    },
    "torch": {"inference": torch_inference, "training": torch_training, "mc": torch_mc},
}
STARTS = {"tfunc": start_tfunc, "torch": start_torch}
