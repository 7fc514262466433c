"""Warm-up requests: TensorFlow Serving replays them when it loads a model, so that no patient waits for the first one.

They are PredictionLog protos in a TFRecord. Their package, tensorflow-serving-api, is a client's, so the few fields are
written here in protobuf's wire format.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from data_prep import normalisation
from data_prep.phantom.brain import brain
from data_prep.phantom.skin import skin
from tfunc.serving.description import ENCODED, Description

NAME = "tf_serving_warmup_requests"

# field numbers of tensorflow_serving/apis/{prediction_log, predict, model}.proto
PREDICT_LOG, REQUEST = 6, 1
MODEL_SPEC, INPUTS = 1, 2
KEY, VALUE = 1, 2
MODEL_NAME, SIGNATURE_NAME = 1, 3


def _varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _field(number, content):
    """A field of wire type 2: a string, bytes or a message."""
    content = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def prediction_log(model: str, signature: str, inputs: Mapping[str, Any]) -> bytes:
    """The bytes of a PredictionLog of one predict request. inputs: {name: array}, strings as a list of bytes."""
    request = _field(MODEL_SPEC, _field(MODEL_NAME, model) + _field(SIGNATURE_NAME, signature))
    for name, values in inputs.items():
        proto = tf.make_tensor_proto(values).SerializeToString()
        request += _field(INPUTS, _field(KEY, name) + _field(VALUE, proto))
    return _field(PREDICT_LOG, _field(REQUEST, request))


def requests(signatures: Iterable[str], description: Description) -> dict[str, dict[str, Any]]:
    """{signature: {input: array}}: one small valid request for each of these signatures, of a made-up subject."""
    make = _photographs if description.task.is_photograph else _volumes
    made = make(description, np.random.default_rng(0))
    return {name: made[name] for name in signatures}


def _volumes(description, random):
    """A made-up brain, whose modalities stand in turn for however many channels there are."""
    side = max(32, 4 * description.smallest)
    modalities = list(brain(random, (16, side, side)).modalities.values())
    channels = [modalities[index % len(modalities)] for index in range(description.channels)]
    volume = np.stack(channels, -1)[7:9].astype(np.int16)
    mean, deviation, _ = normalisation.by_channel(volume, description.task.channels, "the warm-up request")
    images = ((volume[:1] - mean) / deviation).astype(np.float32)
    coded = {"volume": [volume.astype("<i2").tobytes()], "shape": np.array([volume.shape], np.int64)}
    whole = {"volume": volume[np.newaxis].astype(np.float32)}
    own = {"mean": mean[np.newaxis], "deviation": deviation[np.newaxis]} if description.takes_statistics else {}
    return {**_images(images), "subject": {**whole, **own}, "subject_bytes": {**coded, **own}}


def _photographs(description, random):
    """A made-up photograph, its colours in turn for however many channels there are; one is grey."""
    photograph, _ = skin(random, tuple(description.task.frame))
    photograph = photograph[..., np.arange(description.channels) % 3]
    shown = photograph if description.channels in ENCODED else photograph[..., :1]
    encoded = {"images": [tf.io.encode_jpeg(shown).numpy()]}
    images = photograph[np.newaxis].astype(np.float32) / 255
    return {**_images(images), "encoded": encoded, "encoded_full": encoded}


def _images(images):
    return {
        "serving_default": {"images": images},
        "seeded": {"images": images, "seed": np.zeros(len(images), np.int64)},
        "describe": {"request": [b"task"]},
    }


def write(path: pathlib.Path, model: str, requests: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the requests as a TFRecord."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for signature, inputs in requests.items():
            file.write(prediction_log(model, signature, inputs))
