"""OpenVINO as the engine of networks: on Intel's processors it can be faster than TensorFlow. Needs the extra `[openvino]`.

A network is converted once, as it is: with batch normalisation folded away and dropout's masks as inputs. It is compiled for
one slice of each size; several slices of a batch are at work at a time, which was faster than the whole batch as one.
"""

from __future__ import annotations

import collections
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfunc.nets import engine, weights
from tfunc.nets.graphs import graph

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}  # OpenVINO takes bfloat16 by itself where the processor has it
SIZES = 4  # compiled: those used last


class OpenVino:
    """See `engine.Engine`. Keeps the networks it has converted."""

    def __init__(self, precision: str):
        # converting would send figures of usage to OpenVINO's makers; where this package can't be imported it sends none
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import openvino

        self._openvino, self._core = openvino, openvino.Core()
        self._hints = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision], "PERFORMANCE_HINT": "THROUGHPUT"}
        self._converted: dict[tuple[Any, str], _Network] = {}  # by who runs it, and how

    def __call__(self, owner: Any, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """See `engine.Engine`."""
        key, tensors = (owner, call.__name__), tf.nest.flatten(arguments)
        if key not in self._converted:
            self._converted[key] = self._convert(owner, call, arguments)
        network = self._converted[key]
        found = tf.numpy_function(network, tensors, network.dtypes, stateful=True)
        found = list(found) if isinstance(found, (list, tuple)) else [found]
        for one, channels in zip(found, network.channels, strict=True):
            one.set_shape([*tensors[0].shape[:3], *channels])
        return tf.nest.pack_sequence_as(network.structure, found)

    def _convert(self, owner, call, arguments):
        structure: list[Any] = []

        def flat(*tensors):
            found = call(owner, *tf.nest.pack_sequence_as(arguments, tensors))
            structure.append(found)
            return {f"output_{index}": one for index, one in enumerate(tf.nest.flatten(found))}

        specs = [
            tf.TensorSpec([None] * (one.shape.rank - 1) + [one.shape[-1]], one.dtype, f"input_{index}")
            for index, one in enumerate(tf.nest.flatten(arguments))
        ]
        # a graph of its own, of variables and open sizes: masks then stay outside of the weights, which OpenVINO wants constant
        with tf.init_scope(), engine.used(None), weights.variables():
            traced = graph(flat, *specs).get_concrete_function()
            model = self._openvino.convert_model(traced)
        outputs = [traced.structured_outputs[f"output_{index}"] for index in range(len(traced.structured_outputs))]
        return _Network(self._compiled, model, structure[0], outputs)

    def _compiled(self, model):
        return self._openvino.AsyncInferQueue(self._core.compile_model(model, "CPU", self._hints))


class _Network:
    """A converted network, called with arrays in the order of its inputs; gives its outputs in order.

    structure: the nest that its outputs make. The slices of a batch are requests of one, several at a time.
    """

    def __init__(self, compiled, model, structure, outputs):
        """compiled: called with a model whose sizes are fixed -> its queue of requests."""
        self.compiled, self.model, self.structure = compiled, model, structure
        self.dtypes = [one.dtype for one in outputs]
        self.channels = [tuple(one.shape[3:]) for one in outputs]  # none of a map of one number
        self._queues: collections.OrderedDict[tuple[int, ...], Any] = collections.OrderedDict()

    def __call__(self, images: np.ndarray, *masks: np.ndarray) -> list[np.ndarray]:
        """masks: [batch, channels], or [1, channels] for all."""
        rows, *size = images.shape
        queue = self._queue(size)
        found = [
            np.empty((rows, *size[:2], *channels), dtype.as_numpy_dtype)
            for channels, dtype in zip(self.channels, self.dtypes, strict=True)
        ]

        def finished(request, row):
            for index, one in enumerate(found):
                one[row] = request.get_tensor(f"output_{index}").data[0]

        queue.set_callback(finished)
        for row in range(rows):
            own = [images[row : row + 1], *(one[row : row + 1] if len(one) > 1 else one for one in masks)]
            queue.start_async({f"input_{index}": one for index, one in enumerate(own)}, row, share_inputs=True)
        queue.wait_all()
        return found

    def _queue(self, size):
        """Of requests of one slice of that size."""
        key = tuple(size)
        if key not in self._queues:
            model = self.model.clone()
            shapes = {port: [1, *port.partial_shape[1:]] for port in model.inputs}
            shapes[model.input("input_0")] = [1, *size]
            model.reshape(shapes)
            self._queues[key] = self.compiled(model)
            while len(self._queues) > SIZES:
                self._queues.popitem(last=False)
        self._queues.move_to_end(key)
        return self._queues[key]
