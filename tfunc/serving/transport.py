"""One question to TensorFlow Serving, over REST or over gRPC, and every way in which it can go wrong as one line.

REST is the standard library's; TensorFlow is imported for gRPC alone, whose message types live there. Both connections
have `describe()` and `predict(signature, inputs)`. Inputs are {name: NumPy array, or list of bytes}; so are outputs.
Proxies that the environment names are not used: the server is in the house.
"""

from __future__ import annotations

import abc
import base64
import http.client
import json
import re
import socket
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_prep.base.errors import UserError

PORTS = {"http": 8501, "https": 443, "grpc": 8500}  # TensorFlow Serving's own for REST and gRPC
LONGEST = 500  # characters of a server's message that are shown: it may quote the whole request
_MESSAGE = re.compile(
    r"(?:\d+ root error\(s\) found\.\s*\(0\)\s*)?(?:[A-Z][A-Z_]+: )?(.*?)\s*(?:\[\[\{\{node.*)?", re.DOTALL
)


def connect(server: str, model: str, version: int | None = None, timeout: float = 600.0) -> Connection:
    """The connection that an address asks for: http://host:8501, https://host or grpc://host:8500.

    timeout: seconds without an answer after which to give up. Raises `UserError` for anything else, or for gRPC
    without the package tensorflow-serving-api.
    """
    where = f"--server={server}"
    try:
        address = urllib.parse.urlsplit(server)
        good = address.scheme in PORTS and address.hostname and address.port != 0
    except ValueError:
        good = False
    if not good:
        raise UserError(
            where, expected="an address such as http://localhost:8501 (REST) or grpc://localhost:8500 (gRPC)"
        )
    if not re.fullmatch(r"[^/:?#\s]+", model):
        raise UserError(f"--model={model}", expected="the name that the server gives the model, such as baseline_mc")
    kind = Grpc if address.scheme == "grpc" else Rest
    return kind(address, address.port or PORTS[address.scheme], model, version, timeout)


class Connection(abc.ABC):
    """What both have in common: whom they talk to, and how failures are told."""

    def __init__(self, address: urllib.parse.SplitResult, port: int, model: str, version: int | None, timeout: float):
        self.address, self.host, self.port, self.timeout = address, address.hostname or "", port, timeout
        self.model, self.version = model, version
        self.name = f"{address.scheme}://{self.host}:{port}{address.path.rstrip('/')}"

    @abc.abstractmethod
    def describe(self) -> tuple[int, dict[str, set[str]]]:
        """(version, {signature: names of its inputs}) of the model; later questions go to that very version."""

    @abc.abstractmethod
    def predict(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of a signature by name: arrays, or lists of bytes for strings, which REST sends as base64 in `_bytes`."""

    def unreachable(self, found: str) -> UserError:
        """No server answers there."""
        do = "start the server, or correct --server (by default REST is on port 8501, gRPC on 8500)"
        return UserError(self.name, expected="TensorFlow Serving", found=found, do=do)

    def late(self, found: str, server: str = "") -> UserError:
        """No answer in time. server: what to change there, beside --timeout."""
        do = f"give a longer --timeout{server}, or serve on a faster machine"
        return UserError(self.name, expected="an answer", found=found, do=do)

    def unknown(self, text: str) -> UserError:
        """The server has no such model or version."""
        asked = self.model + (f", version {self.version}" if self.version is not None else "")
        do = "see the server's --model_name or model_config for the names it knows"
        return UserError(f"{self.name}, model {asked}", expected="a model that is served", found=reason(text), do=do)

    def refused(self, text: str) -> UserError:
        """The graph refused the request; text: in its own words."""
        return UserError(f"{self.name}, model {self.model}", expected="maps", found=f"a refusal: {reason(text)}")

    def failed(self, status: str, text: str) -> UserError:
        """The server failed."""
        return UserError(f"{self.name}, model {self.model}", expected="maps", found=f"{status}: {reason(text)}")

    def strange(self, found: str) -> UserError:
        """Whatever answered, it is no TensorFlow Serving."""
        do = "is this TensorFlow Serving?"
        return UserError(self.name, expected="an answer of TensorFlow Serving", found=found, do=do)


class Rest(Connection):
    """TensorFlow Serving's REST API: predict in the columnar format, bytes as {"b64": …}."""

    def describe(self) -> tuple[int, dict[str, set[str]]]:
        """(version, {signature: names of its inputs}) of the model; later questions go to that very version."""
        answer = self._ask("GET", "/metadata")
        try:
            self.version = int(answer["model_spec"]["version"])
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            return self.version, {name: set(signature.get("inputs", ())) for name, signature in signatures.items()}
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
            raise self.strange("JSON without the model's metadata") from None

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs by name: arrays (int64 or float64, as JSON has them), lists of bytes for strings."""
        columns = {name: _to_json(values) for name, values in inputs.items()}
        answer = self._ask("POST", ":predict", {"signature_name": signature, "inputs": columns})
        outputs = answer.get("outputs") if isinstance(answer, dict) else None
        if not isinstance(outputs, dict):
            raise self.strange("JSON without named outputs")
        try:
            return {name: _from_json(values) for name, values in outputs.items()}
        except (ValueError, TypeError, LookupError, ArithmeticError):
            raise self.strange("outputs that are neither numbers nor base64") from None

    def _ask(self, verb, action, body=None):
        version = "" if self.version is None else f"/versions/{self.version}"
        url = f"{self.address.path.rstrip('/')}/v1/models/{urllib.parse.quote(self.model, safe='')}{version}{action}"
        status, text = self._exchange(verb, url, body)
        if status == 200:
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                raise self.strange(f"no JSON but {_shown(text)!r}") from None
        text = _error(text)
        if status == 404 and text is not None:
            raise self.unknown(text)
        if text is None:
            raise self.strange(f"HTTP status {status} for {url}")
        if status == 504:
            raise self.late(reason(text), " and start the server with --rest_api_timeout_in_ms (30000 by default)")
        raise self.refused(text) if status == 400 else self.failed(f"HTTP status {status}", text)

    def _exchange(self, verb, url, body):
        kind = http.client.HTTPSConnection if self.address.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.host, self.port, timeout=self.timeout)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(verb, url, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        except TimeoutError:
            raise self.late(f"none within {self.timeout:g} s") from None
        except (socket.gaierror, UnicodeError) as error:  # the second for names that no host can have
            raise self.unreachable(f"no such host ({error.args[-1]})") from None
        except OSError as error:
            raise self.unreachable((error.strerror or str(error)).lower()) from None
        except http.client.IncompleteRead as error:
            raise self.unreachable(f"an answer that broke off after {len(error.partial)} bytes") from None
        except http.client.HTTPException as error:
            raise self.strange(f"no HTTP ({type(error).__name__}); gRPC's port needs --server=grpc://") from None
        finally:
            connection.close()


class Grpc(Connection):
    """TensorFlow Serving's PredictionService, without gRPC's limit of 4 MB a message."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        try:
            from data_prep.base.processes import start_tensorflow

            start_tensorflow()
            import grpc
            from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc
        except ImportError as error:
            do = "pip install tensorflow-serving-api (the extra [serving]), or use REST: --server=http://host:8501"
            found = f"none ({error})"
            raise UserError(f"--server={self.name}", expected="gRPC's packages", found=found, do=do) from None
        self.grpc, self.messages, self.metadata = grpc, predict_pb2, get_model_metadata_pb2
        unlimited = ("grpc.max_send_message_length", "grpc.max_receive_message_length")
        options = [(name, -1) for name in unlimited] + [("grpc.enable_http_proxy", 0)]
        host = f"[{self.host}]" if ":" in self.host else self.host
        channel = grpc.insecure_channel(f"{host}:{self.port}", options)
        self.service = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def describe(self) -> tuple[int, dict[str, set[str]]]:
        """As `Rest.describe`."""
        request = self.metadata.GetModelMetadataRequest(metadata_field=["signature_def"])
        answer = self._ask(self.service.GetModelMetadata, request)
        self.version = answer.model_spec.version.value
        found = self.metadata.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(found)
        return self.version, {name: set(signature.inputs) for name, signature in found.signature_def.items()}

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """As `Rest.predict`, with the arrays' own dtypes."""
        import tensorflow as tf

        request = self.messages.PredictRequest()
        request.model_spec.signature_name = signature
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
        outputs = self._ask(self.service.Predict, request).outputs
        arrays = {name: tf.make_ndarray(values) for name, values in outputs.items()}
        return {name: array.reshape(-1).tolist() if array.dtype == object else array for name, array in arrays.items()}

    def _ask(self, method, request):
        request.model_spec.name = self.model
        if self.version is not None:
            request.model_spec.version.value = self.version
        try:
            return method(request, timeout=self.timeout)
        except self.grpc.RpcError as error:
            raise self._failure(error.code(), error.details() or "") from None

    def _failure(self, code, text):
        codes = self.grpc.StatusCode
        if code == codes.UNAVAILABLE:
            return self.unreachable(reason(text))
        if code == codes.DEADLINE_EXCEEDED:
            return self.late(f"none within {self.timeout:g} s")
        if code == codes.NOT_FOUND:
            return self.unknown(text)
        if code == codes.INVALID_ARGUMENT:
            return self.refused(text)
        return self.failed(f"gRPC status {code.name}", text)


def reason(text: str) -> str:
    """The server's message without the graph's node names, on one line and no longer than LONGEST."""
    found = _MESSAGE.fullmatch(text.strip())
    return _shown((found and found[1]) or text) or "no reason given"


def _shown(text):
    text = " ".join(text.encode("utf-8", "replace").decode().split())  # JSON may hold half a character
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


def _error(text):
    """The message of an error's JSON, or None where this is not TensorFlow Serving's.

    Older servers escape as C does, which isn't JSON: they are read by their form.
    """
    try:
        return str(json.loads(text)["error"])
    except (ValueError, TypeError, LookupError, RecursionError):
        found = re.fullmatch(r'\s*\{\s*"error":\s*"(.*)"\s*\}\s*', text, re.DOTALL)
        return found and found[1].replace("\\n", " ").replace("\\t", " ").replace("\\'", "'").replace('\\"', '"')


def _to_json(values):
    if isinstance(values, np.ndarray):
        return values.tolist()
    return [{"b64": base64.b64encode(value).decode("ascii")} for value in values]


def _from_json(values):
    if isinstance(values, list) and values and isinstance(values[0], dict):
        return [base64.b64decode(value["b64"], validate=True) for value in values]
    if isinstance(values, list) and values and all(isinstance(value, str) for value in values):
        return [value.encode() for value in values]
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(array.dtype)
    return array
