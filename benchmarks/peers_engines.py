"""The paper's U-Net in the engines that networks are exported to: ONNX Runtime and OpenVINO, probability in float32.

Each in the forms a user could pick: the fastest counts. Needs no TensorFlow; PyTorch writes the ONNX file.
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np

REQUESTS = 4  # batches that a stream of requests has under way


def write_onnx(size, path):
    """Writes the untrained network, its input [batch, channels, height, width], as ONNX."""
    import contextlib
    import logging
    import warnings

    import peers_torch
    import torch

    logging.disable(logging.WARNING)  # of operators that the network has not, such as torchvision's
    warnings.simplefilter("ignore")

    model, x = peers_torch.Foreground(peers_torch.fused(peers_torch.network(size))).eval(), peers_torch.images(size)
    with contextlib.redirect_stdout(sys.stderr), torch.no_grad():
        exported = torch.onnx.export(model, (x.contiguous(),), dynamo=True, verbose=False)
        exported.save(path)


def planes(size):
    """Slices as both engines take them, float32 [batch, channels, height, width]."""
    shape = size.batch, size.channels, size.height, size.width
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def onnx_runtime(size, path):
    """{candidate: (call, images)} in float32; one session with all its optimisations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name, x = session.get_inputs()[0].name, planes(size)
    return {"session": (lambda: session.run(None, {name: x})[0], size.batch)}


def openvino(size, precision, path, saved_model=None):
    """{candidate: (call, images)}: from ONNX and from our own SavedModel, one request at a time and several.

    saved_model: folder of an export of ours, whose default signature takes `images` [batch, height, width, channels] and
    gives a `probability`.
    """
    import openvino as ov

    core, hint = ov.Core(), {"float32": "f32", "bfloat16": "bf16"}[precision]
    x, found = planes(size), {}

    def compiled(model, **more):
        return core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint, **more})

    def one(model):
        request = compiled(model, PERFORMANCE_HINT="LATENCY").create_infer_request()
        return lambda given: request.infer([given], share_inputs=True)[0]

    def several(model, **more):
        queue = ov.AsyncInferQueue(compiled(model, PERFORMANCE_HINT="THROUGHPUT", **more))

        def call(givens):
            for given in givens:
                queue.start_async([given], share_inputs=True)
            queue.wait_all()

        return call

    def shaped(model, given):
        model.reshape({model.inputs[0]: list(given.shape)})
        return model

    def forms(name, make, given, in_all_forms=True):
        first = one(shaped(make(), given))
        found[f"{name}, one request"] = lambda: first(given), size.batch
        many = several(shaped(make(), given))
        found[f"{name}, several requests"] = lambda: many([given] * REQUESTS), size.batch * REQUESTS
        if not in_all_forms:
            return
        apart = several(shaped(make(), given[:1]))
        rows = [given[index : index + 1] for index in range(size.batch)] * REQUESTS
        found[f"{name}, requests of one slice"] = lambda: apart(rows), size.batch * REQUESTS
        wide = several(shaped(make(), given), NUM_STREAMS=1)
        found[f"{name}, one stream"] = lambda: wide([given] * REQUESTS), size.batch * REQUESTS

    forms("ONNX", lambda: core.read_model(path), x)
    if saved_model and pathlib.Path(saved_model).exists():
        forms(
            "SavedModel",
            lambda: probability_of(ov.convert_model(saved_model)),
            np.ascontiguousarray(x.transpose(0, 2, 3, 1)),
            in_all_forms=False,
        )
    return found


def probability_of(model):
    """The model with its output `probability` alone."""
    import openvino as ov

    (output,) = (each for each in model.outputs if "probability" in each.get_names())
    return ov.Model([output.node], model.get_parameters())
