"""Warm-up requests: TensorFlow Serving replays them when it loads a model, so that no patient waits for the first one.

They are PredictionLog protos in a TFRecord. Their package, tensorflow-serving-api, is a client's, so the few fields are
written here in protobuf's wire format.
"""

import numpy as np
import tensorflow as tf

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
    """{signature: {input: array}}: one small valid request for each of `serving.Served.signatures`."""
    height, width = facts.input.get("image_size") or (4 * facts.smallest, 4 * facts.smallest)
    random = np.random.default_rng(0)
    volume = random.integers(0, 1000, (1, 2, height, width, facts.channels), np.int16)
    photograph = tf.io.encode_jpeg(random.integers(0, 256, (height, width, 3), np.uint8)).numpy()
    images = random.normal(size=(1, height, width, facts.channels)).astype(np.float32)
    of = {
        "serving_default": {"images": images},
        "seeded": {"images": images, "seed": np.array([0], np.int64)},
        "subject": {"volume": volume.astype(np.float32)},
        "subject_bytes": {
            "volume": [volume[0].astype("<i2").tobytes()],
            "shape": np.array([volume.shape[1:]], np.int64),
        },
        "encoded": {"images": [photograph]},
        "encoded_full": {"images": [photograph]},
    }
    return {name: of[name] for name in signatures}


def write(path, model, requests):
    """Writes the requests as a TFRecord."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for signature, inputs in requests.items():
            file.write(prediction_log(model, signature, inputs))
