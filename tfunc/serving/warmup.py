"""Warm-up requests: TensorFlow Serving replays them when it loads a model, so that no patient waits for the first one.

They are PredictionLog protos in a TFRecord. Their package, tensorflow-serving-api, is a client's, so the few fields are
written here in protobuf's wire format.
"""

import numpy as np
import tensorflow as tf

from data_prep import subject
from data_prep.phantom import brain as phantom_brain
from data_prep.phantom import skin as phantom_skin
from data_prep.readers import brats

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


def prediction_log(model, signature, inputs):
    """The bytes of a PredictionLog of one predict request. inputs: {name: array}, strings as a list of bytes."""
    request = _field(MODEL_SPEC, _field(MODEL_NAME, model) + _field(SIGNATURE_NAME, signature))
    for name, values in inputs.items():
        proto = tf.make_tensor_proto(values).SerializeToString()
        request += _field(INPUTS, _field(KEY, name) + _field(VALUE, proto))
    return _field(PREDICT_LOG, _field(REQUEST, request))


def requests(signatures, facts):
    """{signature: {input: array}}: one small valid request for each of `serving.Served.signatures`, of a made-up subject."""
    random = np.random.default_rng(0)
    return (_volumes if facts.dataset == "brats" else _photographs)(signatures, facts, random)


def _volumes(signatures, facts, random):
    side = max(32, 4 * facts.smallest)
    modalities = phantom_brain.brain(random, (16, side, side)).modalities
    volume = np.stack([modalities[name] for name in brats.CHANNELS], -1)[7:9].astype(np.int16)
    mean, deviation = subject.zscore_statistics(volume, "the warm-up request")
    images = ((volume[:1] - mean) / deviation).astype(np.float32)
    coded = {"volume": [volume.astype("<i2").tobytes()], "shape": np.array([volume.shape], np.int64)}
    of = {**_images(images), "subject": {"volume": volume[np.newaxis].astype(np.float32)}, "subject_bytes": coded}
    return {name: of[name] for name in signatures}


def _photographs(signatures, facts, random):
    photograph, _ = phantom_skin.skin(random, tuple(facts.input["image_size"]))
    encoded = {"images": [tf.io.encode_jpeg(photograph).numpy()]}
    of = {**_images(photograph[np.newaxis].astype(np.float32) / 255), "encoded": encoded, "encoded_full": encoded}
    return {name: of[name] for name in signatures}


def _images(images):
    return {
        "serving_default": {"images": images},
        "seeded": {"images": images, "seed": np.zeros(len(images), np.int64)},
    }


def write(path, model, requests):
    """Writes the requests as a TFRecord."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for signature, inputs in requests.items():
            file.write(prediction_log(model, signature, inputs))
