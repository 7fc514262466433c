"""A test fixture: a small server that speaks TensorFlow Serving's REST predict format and its gRPC PredictionService.

TensorFlow Serving itself is a container. What the client meets here is its protocol, as its documentation and source
have it: SavedModels are run in a session by their signatures' tensor names, as there, so the graph's own errors arrive
in the same form. Only what the client uses is here: the metadata and the columnar predict. Nothing in the product
imports this file.
"""

import base64
import concurrent.futures
import http.server
import json
import re
import threading
import types

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

INVALID, NOT_FOUND = 3, 5
HTTP_STATUS = {INVALID: 400, 4: 504, NOT_FOUND: 404, 8: 429, 9: 400, 11: 400, 12: 501, 14: 503}  # http_server.cc
CODES = {code.value[0]: code for code in grpc.StatusCode}
URL = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(:predict|/metadata)")


class Refusal(Exception):
    """An error as the server tells it: a code of tensorflow::error::Code, and a message."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class Model:
    """One version of a SavedModel, run by the tensor names of its signatures."""

    def __init__(self, folder):
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            loaded = tf.compat.v1.saved_model.loader.load(self.session, ["serve"], str(folder))
        self.signatures = {name: one for name, one in loaded.signature_def.items() if not name.startswith("__")}

    def run(self, signature, inputs):
        """Outputs of a signature, {name: array}; the session's own errors pass."""
        wanted, given = set(signature.inputs), set(inputs)
        if wanted != given:
            missing, extra = ",".join(sorted(wanted - given)), ",".join(sorted(given - wanted))
            text = f"input size does not match signature: Sent extra: {{{extra}}}. Missing but required: {{{missing}}}."
            raise Refusal(INVALID, text)
        fed = {signature.inputs[name].name: values for name, values in inputs.items()}
        fetched = {name: one.name for name, one in signature.outputs.items()}
        try:
            return self.session.run(fetched, fed)
        except tf.errors.OpError as error:
            raise Refusal(error.error_code, error.message) from None
        except (TypeError, ValueError) as error:  # what Python checks before the session would
            raise Refusal(INVALID, str(error)) from None


class Server:
    """Serves {name: {version: Model}} on two free ports of this machine; `rest` and `grpc` are their addresses."""

    def __init__(self, models):
        self.models = models
        handler = type("Handler", (_Handler,), {"fixture": self})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.remote = grpc.server(concurrent.futures.ThreadPoolExecutor(2), options=unlimited)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_service(self), self.remote)
        port = self.remote.add_insecure_port("127.0.0.1:0")
        self.remote.start()
        self.rest = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.grpc = f"grpc://127.0.0.1:{port}"

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.remote.stop(0).wait()

    def find(self, name, version):
        """(model, its version); the latest one where none is asked for."""
        versions = self.models.get(name, {})
        if not versions or version not in (None, *versions):
            asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Refusal(NOT_FOUND, f"Servable not found for request: {asked}")
        version = max(versions) if version is None else version
        return versions[version], version

    def signature(self, model, name):
        name = name or "serving_default"
        if name not in model.signatures:
            raise Refusal(INVALID, f'Serving signature name: "{name}" not found in signature def')
        return model.signatures[name]


# ---------------------------------------------------------------------------------------------------------------- REST


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fixture = None

    def do_GET(self):
        self._answer("/metadata", lambda model, name, version: _metadata_json(model, name, version))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(":predict", lambda model, name, version: _predict_json(self.fixture, model, body))

    def log_message(self, *args):
        pass

    def _answer(self, action, act):
        status = 200
        try:
            found = URL.fullmatch(self.path)
            if not found or found[3] != action:
                raise Refusal(INVALID, f"Malformed request: {self.command} {self.path}")
            model, version = self.fixture.find(found[1], found[2] and int(found[2]))
            body = act(model, found[1], version)
        except Refusal as refusal:
            status = HTTP_STATUS.get(refusal.code, 500)
            body = json.dumps({"error": refusal.message})
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _metadata_json(model, name, version):
    found = get_model_metadata_pb2.SignatureDefMap(signature_def=model.signatures)
    spec = {"name": name, "signature_name": "", "version": str(version)}
    signatures = json_format.MessageToDict(found, preserving_proto_field_name=True)
    return json.dumps({"model_spec": spec, "metadata": {"signature_def": signatures}})


def _predict_json(fixture, model, body):
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise Refusal(INVALID, f"JSON Parse error: {error}") from None
    signature = fixture.signature(model, asked.get("signature_name"))
    columns = asked.get("inputs")
    if columns is None:
        raise Refusal(INVALID, "Missing 'inputs' or 'instances' key")
    if not isinstance(columns, dict) or set(columns) == {"b64"}:
        columns = {next(iter(signature.inputs)): columns}
    inputs = {}
    for name, info in signature.inputs.items():
        if name not in columns:
            raise Refusal(INVALID, f"Missing named input: {name} in 'inputs' object.")
        inputs[name] = _tensor(columns[name], info.dtype)
    outputs = {name: _json(name, values) for name, values in model.run(signature, inputs).items()}
    return json.dumps({"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))})


def _tensor(value, dtype):
    if dtype != tf.string.as_datatype_enum:
        try:
            return np.array(value, tf.as_dtype(dtype).as_numpy_dtype)
        except (ValueError, TypeError, OverflowError):
            kind = tf.as_dtype(dtype).name
            raise Refusal(INVALID, f"JSON Value: {json.dumps(value)} is not of expected type: {kind}") from None
    if isinstance(value, list):
        return np.array([_tensor(one, dtype) for one in value], object)
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    return value.encode()


def _json(name, values):
    """A tensor as JSON. Strings are base64 where the output's name ends in `_bytes`, and spoilt as text elsewhere."""
    if isinstance(values, bytes):
        if name.endswith("_bytes"):
            return {"b64": base64.b64encode(values).decode()}
        return values.decode("utf-8", "replace")
    if values.dtype == object:
        return [_json(name, one) for one in values]
    return values.tolist()


# ---------------------------------------------------------------------------------------------------------------- gRPC


def _service(fixture):
    def answered(act):
        def handle(request, context):
            spec = request.model_spec
            try:
                version = spec.version.value if spec.HasField("version") else None
                model, version = fixture.find(spec.name, version)
                return act(request, model, types.SimpleNamespace(name=spec.name, version=version))
            except Refusal as refusal:
                context.abort(CODES[refusal.code], refusal.message)

        return handle

    def predict(request, model, served):
        signature = fixture.signature(model, request.model_spec.signature_name)
        inputs = {name: tf.make_ndarray(values) for name, values in request.inputs.items()}
        outputs = model.run(signature, inputs)
        response = predict_pb2.PredictResponse()
        response.model_spec.name, response.model_spec.version.value = served.name, served.version
        for name, values in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(values))
        return response

    def metadata(request, model, served):
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name, response.model_spec.version.value = served.name, served.version
        found = get_model_metadata_pb2.SignatureDefMap(signature_def=model.signatures)
        response.metadata["signature_def"].Pack(found)
        return response

    servicer = prediction_service_pb2_grpc.PredictionServiceServicer()
    servicer.Predict, servicer.GetModelMetadata = answered(predict), answered(metadata)
    return servicer
