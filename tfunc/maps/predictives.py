"""How a method's networks become maps: one graph from normalised slices to probability and raw uncertainty.

Samples and members are reduced online, so memory does not grow with their number.

A predictive is made from (list of models, options) and called with
    images float32 [batch, height, width, channels], normalised; seeds int64 [batch, 2], used by sampled methods only
and gives a dict of [batch, height, width] maps:
    probability float32, foreground; prediction uint8, its argmax (ties are background)
    uncertainty float32: normalised entropy, |sigma| of the predicted class, or an error probability
    mutual_information float32, normalised like the entropy, for methods that average several predictions
"""

import importlib

import tensorflow as tf

from data_prep.base.errors import UserError
from tfunc.learning.losses import binary_entropy
from tfunc.nets import folded as inference
from tfunc.nets import sampling, stack
from tfunc.nets import views as transforms


def of(method):
    """The class of a method's predictive."""
    module, _, name = method.predictive.rpartition(":")
    return getattr(importlib.import_module(module or __name__), name)


def foreground(logits):
    """Softmax probability of the foreground, float32."""
    return tf.nn.sigmoid(logits[..., 1] - logits[..., 0])


def _entropy_maps(probability, **others):
    return {
        "probability": probability,
        "prediction": tf.cast(probability > 0.5, tf.uint8),
        "uncertainty": binary_entropy(probability),
        **others,
    }


class Softmax:
    """One pass, normalised entropy."""

    def __init__(self, models, options):
        (model,) = models
        self.network = inference.FoldedUNet(model, options.precision)

    def __call__(self, images, seeds):
        return _entropy_maps(foreground(self.network(images)))


class MonteCarlo:
    """The mean of `samples` passes with live dropout and batch normalisation on its moving statistics.

    Raises `UserError` for a model without dropout: its samples would not differ.
    """

    def __init__(self, models, options):
        (model,) = models
        if not model.dropout_rates:
            raise UserError("MC dropout", expected="a network with dropout", found="a network without any")
        self.samples = _samples(options)
        self.network = inference.FoldedUNet(model, options.precision, sampled=True)

    def __call__(self, images, seeds):
        rates = self.network.rates
        uniform = sampling.sample_uniform(seeds, self.samples, rates)

        def sample(index):
            return foreground(self.network(images, inference.masks(uniform[index], rates))), 1.0

        return _mean_maps(sample, self.samples, images)


def _samples(options):
    if options.samples < 1:
        raise UserError(f"--samples={options.samples}", expected="1 or more")
    return options.samples


class TestTimeAugmentation:
    """The mean over `samples` views of the image, each view's probability brought back into the image's own frame.

    Wang et al. (2019). The first view is the image itself, so one sample is the baseline. What a view pushed out of the
    frame it has no say about: a voxel's mean is over the views that saw it. Outside its frame a view shows the image
    mirrored rather than a border that the network never saw.
    """

    __test__ = False  # pytest would take it for one of its own
    RANGE = transforms.Range()

    def __init__(self, models, options):
        (model,) = models
        self.samples = _samples(options)
        self.network = inference.FoldedUNet(model, options.precision)

    def __call__(self, images, seeds):
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        uniform = sampling.rows_uniform(seeds, [self.samples, transforms.UNIFORMS])
        ones = tf.ones(tf.concat([tf.shape(images)[:3], [1]], axis=0))

        def sample(index):
            there, back = transforms.views(self._drawn(uniform[:, index], index), height, width)
            view = stack.projective_transform(images, there, fill_mode="reflect")
            probability = foreground(self.network(view))[..., tf.newaxis]
            # a voxel was seen where nothing outside the frame had a part in its value
            inside = stack.projective_transform(stack.projective_transform(ones, there), back)
            returned = stack.projective_transform(probability, back)
            seen = tf.cast(inside > 0.999, tf.float32)
            return tf.squeeze(tf.clip_by_value(returned, 0.0, 1.0), -1), tf.squeeze(seen, -1)

        return _mean_maps(sample, self.samples, images)

    def _drawn(self, uniform, index):
        """What `transforms.draw` draws, but nothing for the first sample."""
        first = tf.equal(index, 0)
        nothing = (0.0, 1.0, 1.0, 1.0)
        drawn = transforms.draw(uniform, self.RANGE)
        return tuple(tf.where(first, still, value) for still, value in zip(nothing, drawn, strict=True))


def _mean_maps(sample, count, images):
    """Runs `sample(index)` -> (probability, weight) `count` times, one after the other, and keeps running sums."""
    zeros = tf.zeros(tf.shape(images)[:3])

    def body(index, probability, entropy, weight):
        p, w = sample(index)
        return index + 1, probability + w * p, entropy + w * binary_entropy(p), weight + w

    _, *sums = tf.while_loop(lambda index, *_: index < count, body, (0, zeros, zeros, zeros), parallel_iterations=1)
    return _summary(*sums)


def _summary(probability, entropy, count):
    """Maps from the sums of `count` probabilities and of their entropies."""
    maps = _entropy_maps(probability / count)
    # rounding can bring the difference below 0
    return {**maps, "mutual_information": tf.maximum(maps["uncertainty"] - entropy / count, 0.0)}


class Ensemble:
    """The mean of several networks' softmax, one network after the other, so that memory holds one at a time."""

    def __init__(self, models, options):
        self.members = [inference.FoldedUNet(model, options.precision) for model in models]

    def __call__(self, images, seeds):
        probability = entropy = tf.zeros(tf.shape(images)[:3])
        for member in self.members:
            with tf.control_dependencies([entropy]):  # nothing else would keep the members from running side by side
                p = foreground(member(tf.identity(images)))
            probability, entropy = probability + p, entropy + binary_entropy(p)
        return _summary(probability, entropy, len(self.members))


class Aleatoric:
    """Softmax of the mean logits; |sigma| of the predicted class."""

    def __init__(self, models, options):
        (model,) = models
        self.network = inference.FoldedUNet(model, options.precision)

    def __call__(self, images, seeds):
        logits, sigma = self.network(images)
        probability = foreground(logits)
        sigma = tf.abs(sigma)
        return {
            "probability": probability,
            "prediction": tf.cast(probability > 0.5, tf.uint8),
            "uncertainty": tf.where(probability > 0.5, sigma[..., 1], sigma[..., 0]),
        }


class AuxiliaryFeatures:
    """The baseline's probability; the error probability of a head on its last features."""

    def __init__(self, models, options):
        baseline, head = models
        self.network = inference.FoldedUNet(baseline, options.precision)
        self.head = inference.FoldedHead(head, options.precision)

    def __call__(self, images, seeds):
        features, _ = self.network.features(images)
        probability = foreground(self.network.head_outputs(features))
        return {**_entropy_maps(probability), "uncertainty": foreground(self.head(features))}


class AuxiliarySegmentation:
    """The baseline's probability; the error probability of a second network that sees the image and the mask."""

    def __init__(self, models, options):
        baseline, auxiliary = models
        self.network = inference.FoldedUNet(baseline, options.precision)
        self.auxiliary = inference.FoldedUNet(auxiliary, options.precision)

    def __call__(self, images, seeds):
        maps = _entropy_maps(foreground(self.network(images)))
        mask = tf.cast(maps["prediction"], tf.float32)[..., tf.newaxis]
        return {**maps, "uncertainty": foreground(self.auxiliary(tf.concat([images, mask], axis=-1)))}
