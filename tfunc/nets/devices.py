"""Which devices a computation runs on, as a `tf.distribute` strategy, in words, and in a training's folder."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import tensorflow as tf

from data_prep.base import artefacts, gpus
from data_prep.base.errors import UserError
from tfunc import shapes
from tfunc.nets import precision, stack
from tfunc.nets.precision import Choice

RECORD = "devices.json"
# what a user may set that changes TensorFlow's arithmetic: it stays as it is set, and is recorded
CHANGING = (
    gpus.VISIBLE, "TF_XLA_FLAGS", "XLA_FLAGS", "NVIDIA_TF32_OVERRIDE", "TF_ENABLE_AUTO_MIXED_PRECISION",
    "TF_ENABLE_ONEDNN_OPTS", "TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC",
)  # fmt: skip


def strategy(devices: Sequence[str] | None = None) -> tf.distribute.Strategy:
    """MirroredStrategy over `devices`, or over all GPUs; the default strategy for one device or none.

    devices: names such as `GPU:0`; `CPU:0, CPU:1` are made as logical devices. Raises `UserError` for an unknown one.
    """
    if not devices:
        several = len(logical("GPU")) > 1
        return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()
    _make_logical_cpus(sum(name.upper().startswith("CPU:") for name in devices))
    known = {device.name.removeprefix("/device:") for kind in ("CPU", "GPU") for device in logical(kind)}
    unknown = [name for name in devices if name.upper() not in known]
    if unknown:
        raise UserError(
            f"--devices={','.join(devices)}", expected=f"some of {', '.join(sorted(known))}", found=unknown[0]
        )
    if len(devices) == 1:
        return tf.distribute.OneDeviceStrategy(devices[0])
    # ReductionToOneDevice works for every kind of device; NCCL, the default on GPUs, is kept where all are GPUs
    reduction = (
        None if all(name.upper().startswith("GPU") for name in devices) else tf.distribute.ReductionToOneDevice()
    )
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=reduction)


def logical(kind: str) -> list[tf.config.LogicalDevice]:
    """The logical devices of a kind, `CPU` or `GPU`."""
    return tf.config.list_logical_devices(kind)


def _make_logical_cpus(count):
    """Splits the CPU into `count` logical devices where TensorFlow has not started yet."""
    (cpu,) = tf.config.list_physical_devices("CPU")[:1]
    if count < 2 or tf.config.get_logical_device_configuration(cpu):
        return
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:  # TensorFlow has started: too late
        raise UserError("--devices", expected="to be set before TensorFlow starts", found=str(error)) from None


def described(strategy: tf.distribute.Strategy) -> list[str]:
    """What a strategy runs on, in words: `GPU:0 (NVIDIA A100)`, `CPU:0`.

    Where a GPU was given and is not seen, the CPU's entry says so, or it is an error; see `unseen`.
    """
    note = unseen()
    return [_with_model(name) + (f" ({note})" if note else "") for name in _names(strategy)]


def unseen() -> str:
    """`CUDA_VISIBLE_DEVICES=1 names a GPU, but TensorFlow sees none`, or nothing where that is not so.

    Where a study gave this process a GPU that it had counted, that is a `UserError` instead: days on a CPU are not what
    was asked for.
    """
    given = gpus.named(os.environ)
    if not given or tf.config.list_physical_devices("GPU"):  # which starts nothing, as `logical` would
        return ""
    if gpus.COUNTED in os.environ:
        found = "none that TensorFlow sees"
        raise UserError(
            f"{gpus.VISIBLE}={','.join(given)}",
            expected="the GPU that the study gave",
            found=found,
            do="see nvidia-smi",
        )
    return f"{gpus.VISIBLE}={','.join(given)} names a GPU, but TensorFlow sees none"


def precision_of(strategy: tf.distribute.Strategy | None = None) -> Choice:
    """What the precision `auto` comes to on a strategy's devices; None: on the first GPU, else the CPU."""
    if (frozen := precision.of_stack(stack.name())) is not None:
        return frozen
    names = _names(strategy or tf.distribute.get_strategy())
    if any(name.upper().startswith("CPU") for name in names):
        return precision.of_processor()
    details = [_details(name) for name in names]
    return precision.of_gpus([one.get("compute_capability") for one in details])


def record(folder: pathlib.Path, strategy: tf.distribute.Strategy, step: int) -> list[str]:
    """Adds to the folder's devices.json that a training goes on from `step` on these devices; returns their names.

    Not a part of its configuration: a training may be continued elsewhere. Raises as `described`.
    """
    used = described(strategy)
    path = folder / RECORD
    before = artefacts.read_document(path, shapes.Devices)["trained_on"] if path.exists() else []
    settings = {name: os.environ[name] for name in CHANGING if os.environ.get(name)}
    entry = {"from_step": step, "devices": used, "environment": settings, **stack.versions()}
    artefacts.write_document(path, {"trained_on": [*before, entry]})
    return used


def _names(strategy):
    try:
        devices = strategy.extended.worker_devices
    except RuntimeError:  # the default strategy has none of its own
        return ["GPU:0" if logical("GPU") else "CPU:0"]
    return [device.rpartition("device:")[2] for device in devices]


def _with_model(name):
    model = _details(name).get("device_name")
    return f"{name} ({model})" if model else name


def _details(name):
    """What TensorFlow says of a GPU, {} of what is none."""
    kind, _, index = name.upper().partition(":")
    physical = tf.config.list_physical_devices(kind)
    if kind != "GPU" or not index.isdecimal() or int(index) >= len(physical):
        return {}
    return tf.config.experimental.get_device_details(physical[int(index)])
