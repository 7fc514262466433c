"""Which devices a computation runs on, as a `tf.distribute` strategy."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from data_prep.base.errors import UserError


def strategy(devices: Sequence[str] | None = None) -> tf.distribute.Strategy:
    """MirroredStrategy over `devices`, or over all GPUs; the default strategy for one device or none.

    devices: names such as `GPU:0`; `CPU:0, CPU:1` are made as logical devices. Raises `UserError` for an unknown one.
    """
    if not devices:
        gpus = tf.config.list_logical_devices("GPU")
        return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()
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
