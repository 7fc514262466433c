"""Methods that average several predictions: samples of one network, views of the image, members of an ensemble.

Samples and members are reduced online, so memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from data_prep.base.errors import UserError
from tfunc.maps import packed
from tfunc.maps.options import Options
from tfunc.maps.predictives import Maps, entropy_maps
from tfunc.nets import classes, engine, folded, low_rank, sampling, stack, views
from tfunc.nets.precision import FLOAT32


class MonteCarlo:
    """The mean of `samples` passes with live dropout and batch normalisation on its moving statistics.

    Raises `UserError` for a model without dropout: its samples would not differ.
    """

    SHARES = True

    def __init__(self, models: Sequence[keras.Model], options: Options):
        (model,) = models
        if not model.dropout_rates:
            raise UserError("MC dropout", expected="a network with dropout", found="a network without any")
        self.samples, self.streams, self.regions = options.samples, options.streams, options.regions
        self.together = pairs(options)
        self.uniform = sampling.stratified_uniform if options.stratified else sampling.sample_uniform
        self.network = folded.FoldedUNet(model, options.precision, sampled=True)

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor) -> Maps:
        """See `predictives.Predictive`."""
        rates = self.network.rates
        uniform = self.uniform(seeds, self.samples, rates, self.streams)
        images, count = several(images, self.together)

        def sample(index):
            drawn = uniform[index] if count == 1 else tf.reshape(uniform[index : index + count], [count, -1])
            return classes.probability(self.network(images, folded.dropout_masks(drawn, rates))), 1.0

        return mean_maps(sample, self.samples, images, self.network.classes, self.regions, count)


class TestTimeAugmentation:
    """The mean over `samples` views of the image, each view's probability brought back into the image's own frame.

    Wang et al. (2019); of several classes each one's, their sum made 1 again. The first view is the image itself, so one
    sample is the baseline. What a view pushed out of the frame it has no say about: a voxel's mean is over the views that
    saw it. Outside its frame a view shows the image mirrored rather than a border that the network never saw.
    """

    __test__ = False  # pytest would take it for one of its own
    SHARES = True
    RANGE = views.Range()

    def __init__(self, models: Sequence[keras.Model], options: Options):
        (model,) = models
        self.samples, self.streams, self.regions = options.samples, options.streams, options.regions
        self.together = pairs(options)
        self.network = folded.network(model, options.precision)

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor) -> Maps:
        """See `predictives.Predictive`."""
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        uniform = sampling.rows_uniform(seeds, [self.samples, views.UNIFORMS], "sampled_views", self.streams)
        images, count = several(images, self.together)
        # where all rows have one view, what it shows of the frame is one for all of them, too
        ones = tf.ones([count * tf.shape(seeds)[0], height, width, 1])

        def sample(index):
            drawn = uniform[:, index] if count == 1 else uniform[0, index : index + count]
            forth, back = views.views(self._drawn(drawn, index + tf.range(count)), height, width)
            view = stack.projective_transform(images, forth, fill_mode="reflect")
            probability = classes.probability(self.network(view))
            binary = not classes.has_classes(probability)
            probability = probability[..., tf.newaxis] if binary else probability
            # a voxel was seen where nothing outside the frame had a part in its value
            inside = stack.projective_transform(stack.projective_transform(ones, forth), back)
            returned = stack.projective_transform(probability, back)
            seen = tf.cast(inside > 0.999, tf.float32)
            returned = tf.clip_by_value(returned, 0.0, 1.0)
            if binary:
                return tf.squeeze(returned, -1), tf.squeeze(seen, -1)
            total = tf.reduce_sum(returned, axis=-1, keepdims=True)
            return tf.math.divide_no_nan(returned, total), tf.squeeze(seen, -1)

        return mean_maps(sample, self.samples, images, self.network.classes, self.regions, count)

    def _drawn(self, uniform, indices):
        """What `views.draw` draws, but nothing for the first sample."""
        first = tf.equal(indices, 0)
        nothing = (0.0, 1.0, 1.0, 1.0)
        drawn = views.draw(uniform, self.RANGE)
        return tuple(tf.where(first, still, value) for still, value in zip(nothing, drawn, strict=True))


class StochasticSegmentation:
    """The mean of `samples` samples of the logits' Gaussian: each is one segmentation of the whole slice.

    Monteiro et al. (2020). Voxels of a slice go together in a sample; two slices of a volume know nothing of each other, so
    the samples say nothing of how sure a volume is.
    """

    def __init__(self, models: Sequence[keras.Model], options: Options):
        (model,) = models
        self.samples, self.streams = options.samples, options.streams
        self.network = folded.network(model, options.precision)

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor) -> Maps:
        """See `predictives.Predictive`."""
        mean, second = self.network(images)
        spread = low_rank.parts(second, self.network.classes)

        def sample(index):
            return classes.probability(mean + low_rank.deviation(*spread, *self._noise(seeds, index, mean))), 1.0

        return mean_maps(sample, self.samples, images, self.network.classes)

    def _noise(self, seeds, index, mean):
        """The factors' and the logits' own standard normals of one sample."""
        sizes = [self.network.rank], tf.shape(mean)[1:]
        return [
            sampling.rows_normal(seeds, 2 * index + part, size, "sampled_logits", self.streams)
            for part, size in enumerate(sizes)
        ]


class Ensemble:
    """The mean of several networks' softmax, one network after the other, so that memory holds one at a time."""

    def __init__(self, models: Sequence[keras.Model], options: Options):
        self.members = [folded.network(model, options.precision) for model in models]
        self.samples, self.regions = len(self.members), options.regions

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor) -> Maps:
        """See `predictives.Predictive`."""
        probability, entropy = zeros(images, self.members[0].classes), zeros(images)
        packs = packed.none_yet(images, self.samples, self.regions)
        for index, member in enumerate(self.members):
            with tf.control_dependencies([entropy]):  # nothing else would keep the members from running side by side
                p = classes.probability(member(tf.identity(images)))
            probability, entropy = probability + p, entropy + classes.entropy(p)
            packs += packed.bits(p, index, self.samples, self.regions) if self.regions else 0
        return averaged_maps(probability, entropy, self.samples, packs if self.regions else None)


def zeros(images: tf.Tensor, count: int = classes.BINARY) -> tf.Tensor:
    """A sum not begun, of maps of probabilities of `count` classes; of two it is one of maps [batch, height, width]."""
    place = tf.shape(images)[:3]
    return tf.zeros(place if count == classes.BINARY else tf.concat([place, [count]], axis=0))


def pairs(options: Options) -> int:
    """How many samples of a single image are made at a time: two in float32, as oneDNN leaves a core idle with one image."""
    own = options.precision == FLOAT32 and options.engine == engine.TENSORFLOW
    return 2 if own and options.samples % 2 == 0 else 1


def several(images: tf.Tensor, together: int) -> tuple[tf.Tensor, int]:
    """(the images that the network is given, samples that it makes of them at a time): a single image is repeated."""
    count = together if images.shape[0] == 1 else 1
    return (images if count == 1 else tf.repeat(images, count, axis=0)), count


def mean_maps(
    sample: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor | float]],
    samples: int,
    images: tf.Tensor,
    count: int = classes.BINARY,
    regions: packed.Regions = (),
    together: int = 1,
) -> Maps:
    """Runs `sample(index)` -> (probability, weight) for each sample, one after the other, and keeps running sums.

    count: of the classes. regions: where there are some, whether each sample has a voxel in each is kept, as bits. together: the
    rows of `images` are one, repeated, and a call makes that many samples from `index` on, which divide `samples`.
    """
    one = images if together == 1 else images[:1]

    def body(index, probability, entropy, weight, *packs):
        made, weights = sample(index)
        for number in range(together):
            own = slice(None) if together == 1 else slice(number, number + 1)
            p, w = made[own], weights if isinstance(weights, float) else weights[own]
            probability, entropy, weight = probability + _each(w, p) * p, entropy + w * classes.entropy(p), weight + w
            packs = [pack + packed.bits(p, index + number, samples, regions) for pack in packs]
        return index + together, probability, entropy, weight, *packs

    begin = 0, zeros(one, count), zeros(one), zeros(one)
    packs = [packed.none_yet(one, samples, regions)] if regions else []
    _, *sums = tf.while_loop(lambda index, *_: index < samples, body, [*begin, *packs], parallel_iterations=1)
    return averaged_maps(*sums)


def averaged_maps(
    probability: tf.Tensor, entropy: tf.Tensor, count: tf.Tensor | int, packs: tf.Tensor | None = None
) -> Maps:
    """Maps from the sums of `count` probabilities and of their entropies. packs: all samples' bits, of `packed`."""
    maps = entropy_maps(probability / _each(count, probability))
    # rounding can bring the difference below 0
    maps["mutual_information"] = tf.maximum(maps["uncertainty"] - entropy / count, 0.0)
    return maps if packs is None else {**maps, packed.NAME: packs}


def _each(weight, probability):
    """A number, or a map [batch, height, width] of them, such that it multiplies a map of probabilities."""
    alone = not isinstance(weight, tf.Tensor) or not classes.has_classes(probability)
    return weight if alone else weight[..., tf.newaxis]
