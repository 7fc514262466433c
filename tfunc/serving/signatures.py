"""The served model: a method's predictive behind TensorFlow Serving's signatures, every input and output a batch.

| signature | for | inputs | outputs |
| --- | --- | --- | --- |
| serving_default | all | images float32 [batch, height, width, channels], normalised | maps [batch, height, width] |
| seeded | sampled methods | the same, seed int64 [batch] | the same |
| subject | BraTS | volume float32 [patients, depth, height, width, 4], raw | maps [patients, depth, …], summary |
| subject_bytes | BraTS | volume string [patients], shape int64 [patients, 4] | maps as strings [patients], summary |
| encoded | ISIC | images string [batch], JPEG or PNG | maps [batch, height, width] at network size |
| encoded_full | ISIC | images string [batch], photographs of one size | maps [batch, height, width] at their size |

Maps: `probability` of the foreground and `uncertainty`, float32 in [0, 1]; `prediction`, uint8 {0, 1}; for methods that
average several predictions `mutual_information`, float32. Of subject_bytes they are `probability_bytes` and so on, whose
ending makes TensorFlow Serving write base64: little-endian float16, `prediction_bytes` uint8, in the order of the volume.
Summary, one a patient: `predicted_volume` int64, in voxels; `expected_volume` float32, the sum of probabilities;
`mean_uncertainty` float32, in the predicted foreground, and -1 where there is none.

`uncertainty` is in [0, 1] as evaluation makes it: an error probability by its subject's own minimum and maximum, a sigma
by the range of the evaluation, clipped. `serving_default` and `seeded` see no whole subject and leave the error
probability as it is.

Samples of a slice are a function of (seed, position of the slice in its subject), 0 for images and photographs;
whatever else is in the batch. `launch/predict.py --seed=20` draws those of the seed (20 << 32) + crc32(subject's name).
"""

import dataclasses

import tensorflow as tf

from data_prep.readers import photographs
from tfunc.kinds import EPSILON
from tfunc.nets.graphs import graph
from tfunc.serving import inputs as served_inputs

SLICES = 8  # of a patient at a time: what bounds the memory


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the graph must know of a method and its run.

    kind: what its uncertainty is. sigma_range: (lowest, highest) for `sigma`. seed: of the samples.
    channels, smallest: of images, and the least height and width. input: how the run's images were prepared.
    """

    dataset: str
    kind: str
    sampled: bool
    seed: int
    sigma_range: tuple | None
    channels: int
    smallest: int
    input: dict


class Served(tf.Module):
    """A predictive and its signatures. `signatures` is what `tf.saved_model.save` takes."""

    def __init__(self, predictive, facts):
        super().__init__()
        self.facts = facts
        images = tf.TensorSpec([None, None, None, facts.channels], tf.float32)
        seeds = tf.TensorSpec([None, 2], tf.int64)
        # one function that all signatures call, so that the file holds the networks' graph once
        self.maps = graph(predictive, images, seeds)
        traced = self.maps.get_concrete_function()
        # variables, not constants: the signatures share them, and a SavedModel's graph must stay below 2 GB
        self.constants = list(traced.graph.variables)
        self.dtypes = {name: tensor.dtype for name, tensor in traced.structured_outputs.items()}
        if facts.dataset == "brats":
            self.patient = graph(self._patient, images)
        else:
            self.photographs = graph(self._photographs, tf.TensorSpec([None], tf.string))

    def signatures(self):
        """{name: tf.function} of this method and dataset."""
        images = tf.TensorSpec([None, None, None, self.facts.channels], tf.float32, "images")
        found = {"serving_default": (self.default, [images])}
        if self.facts.sampled:
            found["seeded"] = self.seeded, [images, tf.TensorSpec([None], tf.int64, "seed")]
        if self.facts.dataset == "brats":
            volume = tf.TensorSpec([None, None, None, None, self.facts.channels], tf.float32, "volume")
            found["subject"] = self.subject, [volume]
            coded = [tf.TensorSpec([None], tf.string, "volume"), tf.TensorSpec([None, None], tf.int64, "shape")]
            found["subject_bytes"] = self.subject_bytes, coded
        else:
            for name, function in (("encoded", self.encoded), ("encoded_full", self.encoded_full)):
                found[name] = function, [tf.TensorSpec([None], tf.string, "images")]
        return {name: graph(function, *specs) for name, (function, specs) in found.items()}

    # ---------------------------------------------------------------------------------------------------------- images

    def default(self, images):
        images = served_inputs.images(images, self.facts.channels, self.facts.smallest)
        return self._scaled(self.maps(images, self._seeds(images)))

    def seeded(self, images, seed):
        images = served_inputs.images(images, self.facts.channels, self.facts.smallest)
        seed = served_inputs.shaped(seed, "seed", ("batch",))
        counts = tf.shape(seed)[0], tf.shape(images)[0]
        text = "seed: expected one for each of the images, found {} for {}"
        seed = served_inputs.after([served_inputs.require(counts[0] == counts[1], text, *counts)], seed)
        return self._scaled(self.maps(images, tf.stack([seed, tf.zeros_like(seed)], 1)))

    def _seeds(self, images):
        return tf.tile(tf.constant([[self.facts.seed, 0]], tf.int64), [tf.shape(images)[0], 1])

    def _scaled(self, maps, whole=None):
        """Maps with the uncertainty that evaluation would read. whole: axes of one subject, where there is one."""
        score = maps["uncertainty"]
        if self.facts.kind == "sigma":
            lowest, highest = self.facts.sigma_range
        elif self.facts.kind == "confidence" and whole:
            lowest, highest = tf.reduce_min(score, whole, True), tf.reduce_max(score, whole, True)
            text = "uncertainty: expected error probabilities that vary, found one value everywhere in a subject"
            score = served_inputs.after([served_inputs.require(tf.reduce_all(highest > lowest), text)], score)
        else:
            return maps
        score = tf.clip_by_value((score - lowest) / (highest - lowest), 0.0, 1.0)
        return {**maps, "uncertainty": score * (1 - 2 * EPSILON) + EPSILON}

    # --------------------------------------------------------------------------------------------------------- volumes

    def subject(self, volume):
        axes = ("patients", "depth", "height", "width", self.facts.channels)
        volume = served_inputs.in_plane(served_inputs.shaped(volume, "volume", axes), "volume", self.facts.smallest)
        maps = {name: tf.TensorSpec([None, None, None], dtype) for name, dtype in self.dtypes.items()}
        return tf.map_fn(
            lambda patient: self.patient(volume[patient]),
            tf.range(tf.shape(volume)[0]),
            parallel_iterations=1,  # one patient at a time in memory
            fn_output_signature={**maps, **SUMMARY},
        )

    def subject_bytes(self, volume, shape):
        volume = served_inputs.shaped(volume, "volume", ("patients",))
        shape = served_inputs.shaped(shape, "shape", ("patients", "axes"))
        counts = tf.shape(volume)[0], tf.shape(shape)
        text = "shape: expected [depth, height, width, channels] for each of {} volumes, found the shape {}"
        right = (counts[1][0] == counts[0]) & ((counts[1][1] == 3) | (counts[1][1] == 4))
        shape = served_inputs.after([served_inputs.require(right, text, *counts)], shape)

        def patient(index):
            voxels = served_inputs.volume(volume[index], shape[index], self.facts.channels, self.facts.smallest)
            found = self.patient(tf.cast(voxels, tf.float32))
            maps = {name: found[name] for name in self.dtypes}
            maps = {name: tf.cast(of, tf.float16) if of.dtype.is_floating else of for name, of in maps.items()}
            coded = {f"{name}_bytes": served_inputs.raw(of) for name, of in maps.items()}
            return {**coded, **{name: found[name] for name in SUMMARY}}

        coded = {f"{name}_bytes": tf.TensorSpec([], tf.string) for name in self.dtypes}
        numbers = tf.range(tf.shape(volume)[0])
        return tf.map_fn(patient, numbers, parallel_iterations=1, fn_output_signature={**coded, **SUMMARY})

    def _patient(self, voxels):
        """Maps and summary of one patient, [depth, height, width, channels]; some slices at a time."""
        mean, deviation = served_inputs.statistics(voxels)
        depth = tf.shape(voxels)[0]
        arrays = {name: tf.TensorArray(dtype, depth, element_shape=[None, None]) for name, dtype in self.dtypes.items()}

        def some(start, arrays):
            stop = tf.minimum(start + SLICES, depth)
            images = (voxels[start:stop] - mean) / deviation
            rows = tf.range(start, stop)
            slices = tf.cast(rows, tf.int64)
            maps = self.maps(
                images, tf.stack([tf.fill(tf.shape(slices), tf.constant(self.facts.seed, tf.int64)), slices], 1)
            )
            return stop, {name: array.scatter(rows, maps[name]) for name, array in arrays.items()}

        _, arrays = tf.while_loop(lambda start, _: start < depth, some, (0, arrays), parallel_iterations=1)
        maps = self._scaled({name: array.stack() for name, array in arrays.items()}, whole=[0, 1, 2])
        return {**maps, **_summary(maps)}

    # ----------------------------------------------------------------------------------------------------- photographs

    def encoded(self, images):
        return self.photographs(images)[0]

    def encoded_full(self, images):
        maps, sizes = self.photographs(images)
        text = "images: expected photographs of one size in a batch, found heights and widths {}"
        same = served_inputs.require(tf.reduce_all(sizes == sizes[:1]), text, sizes)
        size = served_inputs.after([same], sizes[0])
        return {name: _resize(values, size) for name, values in maps.items()}

    def _photographs(self, images):
        """(maps at network size, int32 [batch, 2] of the photographs' own height and width)."""
        images = served_inputs.shaped(images, "images", ("batch",))
        height, width = self.facts.input["image_size"]

        def one(encoded):
            pixels = served_inputs.photograph(encoded)
            resized = photographs.resize(pixels, height, width)
            return served_inputs.intensities(resized, self.facts.input["intensity"]), tf.shape(pixels)[:2]

        spec = tf.TensorSpec([height, width, self.facts.channels], tf.float32), tf.TensorSpec([2], tf.int32)
        pixels, sizes = tf.map_fn(one, images, parallel_iterations=1, fn_output_signature=spec)
        return self._scaled(self.maps(pixels, self._seeds(pixels)), whole=[1, 2]), sizes


SUMMARY = {
    "predicted_volume": tf.TensorSpec([], tf.int64),
    "expected_volume": tf.TensorSpec([], tf.float32),
    "mean_uncertainty": tf.TensorSpec([], tf.float32),
}


def _summary(maps):
    """What a clinic asks of one patient. Sums are float64: float32 can't count past 16,777,216."""
    inside = tf.cast(maps["prediction"], tf.float64)
    voxels = tf.reduce_sum(tf.cast(maps["prediction"], tf.int64))
    total = tf.reduce_sum(inside * tf.cast(maps["uncertainty"], tf.float64))
    return {
        "predicted_volume": voxels,
        "expected_volume": tf.cast(tf.reduce_sum(tf.cast(maps["probability"], tf.float64)), tf.float32),
        "mean_uncertainty": tf.where(voxels > 0, tf.cast(total / tf.cast(voxels, tf.float64), tf.float32), -1.0),
    }


def _resize(values, size):
    """Maps [batch, height, width] at another size: a mask by nearest neighbour, others bilinear, as predict does."""
    if values.dtype == tf.uint8:
        return tf.image.resize(values[..., tf.newaxis], size, method="nearest")[..., 0]
    return tf.clip_by_value(tf.image.resize(values[..., tf.newaxis], size), 0.0, 1.0)[..., 0]
