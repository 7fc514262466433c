"""The served model: a method's predictive behind TensorFlow Serving's signatures, every input and output a batch.

| signature | for | inputs | outputs |
| --- | --- | --- | --- |
| describe | all | request string [batch], anything | task, description string [batch], JSON |
| serving_default | all | images float32 [batch, height, width, channels], normalised | maps [batch, height, width] |
| seeded | sampled methods | the same, seed int64 [batch] | the same |
| subject | volumes | volume float32 [patients, depth, height, width, channels], raw | maps [patients, depth, …], summary |
| subject_bytes | volumes | volume string [patients], int16 or float32, shape int64 [patients, 4] | maps as strings, summary |
| encoded | photographs | images string [batch], JPEG or PNG | maps [batch, height, width] at network size |
| encoded_full | photographs | images string [batch], photographs of one size | maps [batch, height, width] at their size |

Maps: `probability` of the foreground, or of all of several classes as a last axis, and `uncertainty`, float32 in [0, 1];
`prediction`, the labels that the task's files hold, uint8 or uint16 ({0, 1} of BraTS and ISIC); for methods that
average several predictions `mutual_information`, float32. Of subject_bytes they are `probability_bytes` and so on, whose
ending makes TensorFlow Serving write base64: little-endian float16, `prediction_bytes` as it is, in the order of the
volume. Summary, one a patient: `predicted_volume` int64, in voxels; `expected_volume` float32, the sum of probabilities;
`mean_uncertainty` float32, in the predicted foreground, and -1 where there is none; of several classes `class_volumes`
int64 and `expected_class_volumes` float32 [patients, classes].

A volume comes on the networks' grid (`order`, `spacing` of the task): slices are put into the task's frame and maps taken
out of it here, and nothing is resampled. Where the task has a spacing, and rules whose numbers are each volume's own, both
signatures of volumes also take `mean` and `deviation`, float32 [patients, channels]: those before it was resampled.

`uncertainty` is in [0, 1] as evaluation makes it: an error probability by its subject's own minimum and maximum, a sigma
by the range of the evaluation, clipped. `serving_default` and `seeded` see no whole subject and leave the error
probability as it is.

Samples of a slice are a function of the seed, whatever else is in the batch: each sample is one network for all slices of a
subject. In models of before they were a function of (seed, position of the slice in its subject) as well.
`launch/predict.py --seed=20` draws those of the seed (20 << 32) + crc32(subject's name).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from data_prep import map_files
from data_prep.readers import photographs
from tfunc.kinds import EPSILON
from tfunc.nets.graphs import graph
from tfunc.serving import frames
from tfunc.serving import inputs as checked
from tfunc.serving.description import ENCODED, Description
from tfunc.serving.summaries import specs as summary_of
from tfunc.serving.summaries import summary as _summary

Maps = dict[str, tf.Tensor]

SLICES = 8  # of a patient at a time: what bounds the memory


class Served(tf.Module):
    """A predictive and its signatures. `signatures` is what `tf.saved_model.save` takes."""

    def __init__(self, predictive: Callable[..., Maps], description: Description):
        super().__init__()
        self.description = description
        images = tf.TensorSpec([None, None, None, description.channels], tf.float32)
        seeds = tf.TensorSpec([None, 2], tf.int64)
        # one function that all signatures call, so that the file holds the networks' graph once
        self.maps = graph(predictive, images, seeds)
        traced = self.maps.get_concrete_function()
        # variables, not constants: the signatures share them, and a SavedModel's graph must stay below 2 GB
        self.constants = list(traced.graph.variables)
        self.inner = {name: (one.dtype, one.shape[3:]) for name, one in traced.structured_outputs.items()}
        self.labels = map_files.labels_of(description.task)
        self.dtypes = {name: dtype for name, (dtype, _) in self.inner.items()}
        if "prediction" in self.dtypes:
            self.dtypes["prediction"] = tf.as_dtype(self.labels.dtype)
        self.summary = summary_of(len(description.task.classes))
        if description.task.is_photograph:
            self.photographs = graph(self._photographs, tf.TensorSpec([None], tf.string))
        else:
            row = tf.TensorSpec([description.channels], tf.float32)
            self.patient = graph(self._patient, images, *([row, row] if description.takes_statistics else []))

    def signatures(self) -> dict[str, Any]:
        """{name: tf.function} of this method and its form of task."""
        images = tf.TensorSpec([None, None, None, self.description.channels], tf.float32, "images")
        found: dict[str, tuple[Callable[..., Any], list[tf.TensorSpec]]]
        found = {"serving_default": (self.default, [images])}
        found["describe"] = self.describe, [tf.TensorSpec([None], tf.string, "request")]
        if self.description.sampled:
            found["seeded"] = self.seeded, [images, tf.TensorSpec([None], tf.int64, "seed")]
        if self.description.task.is_photograph:
            if self.description.channels in ENCODED:
                for name, function in (("encoded", self.encoded), ("encoded_full", self.encoded_full)):
                    found[name] = function, [tf.TensorSpec([None], tf.string, "images")]
        else:
            plain, coded = _of_volumes(self.description)
            found |= {"subject": (self.subject, plain), "subject_bytes": (self.subject_bytes, coded)}
        return {name: graph(function, *specs) for name, (function, specs) in found.items()}

    def describe(self, request: tf.Tensor) -> Maps:
        """What is served, as JSON, for each of the strings [batch], whatever they are."""
        request = checked.shaped(request, "request", ("batch",))
        return {name: tf.fill(tf.shape(request), text) for name, text in self.description.texts().items()}

    # ---------------------------------------------------------------------------------------------------------- images

    def default(self, images: tf.Tensor) -> Maps:
        """float32 [batch, height, width, channels] as the network sees them -> maps [batch, height, width]."""
        images = checked.images(images, self.description.channels, self.description.smallest)
        return self._labelled(self._scaled(self.maps(images, self._seeds(images))))

    def seeded(self, images: tf.Tensor, seed: tf.Tensor) -> Maps:
        """The same with the samples of `seed`, int64 [batch]."""
        images = checked.images(images, self.description.channels, self.description.smallest)
        seed = checked.shaped(seed, "seed", ("batch",))
        counts = tf.shape(seed)[0], tf.shape(images)[0]
        text = "seed: expected one for each of the images, found {} for {}"
        seed = checked.after([checked.require(counts[0] == counts[1], text, *counts)], seed)
        return self._labelled(self._scaled(self.maps(images, tf.stack([seed, tf.zeros_like(seed)], 1))))

    def _seeds(self, images):
        return tf.tile(tf.constant([[self.description.seed, 0]], tf.int64), [tf.shape(images)[0], 1])

    def _scaled(self, maps, whole=None):
        """Maps with the uncertainty that evaluation would read. whole: axes of one subject, where there is one."""
        score, scale = maps["uncertainty"], self.description.kind.scale
        if scale == "set":
            lowest, highest = self.description.sigma_range
        elif scale == "subject" and whole:
            lowest, highest = tf.reduce_min(score, whole, True), tf.reduce_max(score, whole, True)
            text = "uncertainty: expected error probabilities that vary, found one value everywhere in a subject"
            score = checked.after([checked.require(tf.reduce_all(highest > lowest), text)], score)
        else:
            return maps
        score = tf.clip_by_value((score - lowest) / (highest - lowest), 0.0, 1.0)
        return {**maps, "uncertainty": score * (1 - 2 * EPSILON) + EPSILON}

    def _labelled(self, maps):
        """Maps whose segmentation holds the labels that files are written with."""
        if self.labels.tolist() == list(range(len(self.labels))):
            return maps
        return {**maps, "prediction": tf.gather(tf.constant(self.labels), tf.cast(maps["prediction"], tf.int32))}

    # --------------------------------------------------------------------------------------------------------- volumes

    def subject(self, volume: tf.Tensor, mean: tf.Tensor | None = None, deviation: tf.Tensor | None = None) -> Maps:
        """Raw float32 [patients, depth, height, width, channels] -> maps [patients, depth, height, width] and summaries."""
        axes = ("patients", "depth", "height", "width", self.description.channels)
        volume = checked.in_plane(checked.shaped(volume, "volume", axes), "volume", self._smallest)
        maps = {
            name: tf.TensorSpec([None, None, None, *more], self.dtypes[name]) for name, (_, more) in self.inner.items()
        }
        own = self._own(mean, deviation, tf.shape(volume)[0])
        return tf.map_fn(
            lambda patient: self.patient(volume[patient], *(values[patient] for values in own)),
            tf.range(tf.shape(volume)[0]),
            parallel_iterations=1,  # one patient at a time in memory
            fn_output_signature={**maps, **self.summary},
        )

    def subject_bytes(
        self, volume: tf.Tensor, shape: tf.Tensor, mean: tf.Tensor | None = None, deviation: tf.Tensor | None = None
    ) -> Maps:
        """The same from and to little-endian bytes, string [patients]; shape int64 [patients, 4], or 3 without channels."""
        volume = checked.shaped(volume, "volume", ("patients",))
        shape = checked.shaped(shape, "shape", ("patients", "axes"))
        counts = tf.shape(volume)[0], tf.shape(shape)
        text = "shape: expected [depth, height, width, channels] for each of {} volumes, found the shape {}"
        right = (counts[1][0] == counts[0]) & ((counts[1][1] == 3) | (counts[1][1] == 4))
        shape = checked.after([checked.require(right, text, *counts)], shape)
        own = self._own(mean, deviation, counts[0])

        def patient(index):
            voxels = checked.volume(volume[index], shape[index], self.description.channels, self._smallest)
            found = self.patient(voxels, *(values[index] for values in own))
            maps = {name: found[name] for name in self.dtypes}
            packed = {name: _packed(values) for name, values in maps.items()}
            coded = {f"{name}_bytes": checked.raw(values) for name, values in packed.items()}
            return {**coded, **{name: found[name] for name in self.summary}}

        coded = {f"{name}_bytes": tf.TensorSpec([], tf.string) for name in self.dtypes}
        numbers = tf.range(tf.shape(volume)[0])
        return tf.map_fn(patient, numbers, parallel_iterations=1, fn_output_signature={**coded, **self.summary})

    @property
    def _smallest(self):
        """The least height and width of a volume's slices, which a frame makes large enough."""
        return 1 if self.description.task.frame else self.description.smallest

    def _own(self, mean, deviation, patients):
        """What a request says of its volumes' channels, checked; nothing where the graph measures it."""
        return () if mean is None else checked.given(mean, deviation, patients, self.description.channels)

    def _patient(self, voxels, mean=None, deviation=None):
        """Maps and summary of one patient, [depth, height, width, channels]; some slices at a time."""
        task = self.description.task
        if mean is None:
            mean, deviation = checked.statistics(voxels, task.channels)
        else:
            voxels = checked.finite(voxels)
        frame = frames.of_volume(voxels, task.frame, mean, deviation, task) if task.frame else None
        depth = tf.shape(voxels)[0]
        arrays = {
            name: tf.TensorArray(dtype, depth, element_shape=[None, None, *more])
            for name, (dtype, more) in self.inner.items()
        }

        def some(start, arrays):
            stop = tf.minimum(start + SLICES, depth)
            images = checked.normalised(voxels[start:stop], mean, deviation, task.channels)
            images = frame.around(images) if frame else images
            rows = tf.range(start, stop)
            slices = tf.cast(rows, tf.int64) * int(self.description.draws == "slice")
            maps = self.maps(
                images, tf.stack([tf.fill(tf.shape(slices), tf.constant(self.description.seed, tf.int64)), slices], 1)
            )
            maps = {name: frame.out_of(values) for name, values in maps.items()} if frame else maps
            return stop, {name: array.scatter(rows, maps[name]) for name, array in arrays.items()}

        _, arrays = tf.while_loop(lambda start, _: start < depth, some, (0, arrays), parallel_iterations=1)
        maps = self._scaled({name: array.stack() for name, array in arrays.items()}, whole=[0, 1, 2])
        return {**self._labelled(maps), **_summary(maps)}

    # ----------------------------------------------------------------------------------------------------- photographs

    def encoded(self, images: tf.Tensor) -> Maps:
        """JPEG or PNG files, string [batch] -> maps [batch, height, width] at network size."""
        return self.photographs(images)[0]

    def encoded_full(self, images: tf.Tensor) -> Maps:
        """The same at the photographs' own size, which must be one in a batch."""
        maps, sizes = self.photographs(images)
        text = "images: expected photographs of one size in a batch, found heights and widths {}"
        same = checked.require(tf.reduce_all(sizes == sizes[:1]), text, sizes)
        size = checked.after([same], sizes[0])
        return {name: _resize(values, size) for name, values in maps.items()}

    def _photographs(self, images):
        """(maps at network size, int32 [batch, 2] of the photographs' own height and width)."""
        images = checked.shaped(images, "images", ("batch",))
        task = self.description.task
        height, width = task.frame

        def prepared(encoded):
            pixels = checked.photograph(encoded)
            pixels = checked.grey(pixels) if self.description.channels == 1 else pixels
            resized = photographs.resize_in_graph(pixels, height, width)
            if task.is_known:
                return checked.intensities(resized, task.normalise), tf.shape(pixels)[:2]
            return checked.by_channel(resized, task.channels), tf.shape(pixels)[:2]

        spec = tf.TensorSpec([height, width, self.description.channels], tf.float32), tf.TensorSpec([2], tf.int32)
        pixels, sizes = tf.map_fn(prepared, images, parallel_iterations=1, fn_output_signature=spec)
        return self._labelled(self._scaled(self.maps(pixels, self._seeds(pixels)), whole=[1, 2])), sizes


def _of_volumes(description):
    """The inputs of `subject` and of `subject_bytes`."""
    count, own = description.channels, []
    if description.takes_statistics:
        own = [tf.TensorSpec([None, count], tf.float32, name) for name in ("mean", "deviation")]
    plain = [tf.TensorSpec([None, None, None, None, count], tf.float32, "volume")]
    coded = [tf.TensorSpec([None], tf.string, "volume"), tf.TensorSpec([None, None], tf.int64, "shape")]
    return [*plain, *own], [*coded, *own]


def _packed(values):
    return tf.cast(values, tf.float16) if values.dtype.is_floating else values


def _resize(values, size):
    """Maps [batch, height, width, …] at another size: labels by nearest neighbour, others bilinear, as predict does."""
    if values.shape.rank == 3:
        return _resize(values[..., tf.newaxis], size)[..., 0]
    if not values.dtype.is_floating:
        return tf.image.resize(values, size, method="nearest")
    return tf.clip_by_value(tf.image.resize(values, size), 0.0, 1.0)
