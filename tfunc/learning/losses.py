"""Cross-entropy, with or without soft Dice, and the aleatoric loss, of two classes or more.

Everything here is float32, whatever precision the network runs in, and log-probabilities are taken in log space. A loss is a
mean over the voxels of a slice that count; a slice without any has loss 0 and teaches nothing.
"""

from __future__ import annotations

import tensorflow as tf

from tfunc.nets import classes

SMOOTH = (
    1.0  # of soft Dice: added above and below, so that a slice with nothing in it has no loss where nothing is said
)


def _log_probability(logits, target):
    """log softmax of the target's class: logits [..., height, width, C] and target of a shape that broadcasts to [...]."""
    logits = tf.cast(logits, tf.float32)
    if logits.shape[-1] == classes.BINARY:
        difference = logits[..., 1] - logits[..., 0]
        return -tf.nn.softplus(tf.where(tf.cast(target, tf.bool), -difference, difference))
    labels = tf.broadcast_to(tf.cast(target, tf.int32), tf.shape(logits)[:-1])
    return -tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def _mean(values, counted):
    """Mean over each image [batch, height, width] of the voxels that count -> [batch]."""
    if counted is None:
        return tf.reduce_mean(values, axis=[1, 2])
    number = tf.math.count_nonzero(counted, axis=[1, 2], dtype=tf.float32)
    return tf.reduce_sum(tf.where(counted, values, 0.0), axis=[1, 2]) / tf.maximum(number, 1.0)


def _known(target, counted):
    """The target with the background where nothing counts, whose index is no class."""
    return target if counted is None else tf.where(counted, target, tf.zeros_like(target))


def cross_entropy_rows(logits: tf.Tensor, target: tf.Tensor, counted: tf.Tensor | None = None) -> tf.Tensor:
    """Mean cross-entropy of each image, float32 [batch].

    logits: [batch, height, width, C]. target: [batch, height, width], indices of classes. counted: bool, where voxels count;
    None where all do.
    """
    return -_mean(_log_probability(logits, _known(target, counted)), counted)


def dice_rows(logits: tf.Tensor, target: tf.Tensor, counted: tf.Tensor | None = None) -> tf.Tensor:
    """1 - soft Dice of each image, the mean over the foreground classes, smoothed; float32 [batch]. See `cross_entropy_rows`."""
    foreground = classes.probability(tf.cast(logits, tf.float32))
    foreground = foreground[..., 1:] if classes.has_classes(foreground) else foreground[..., tf.newaxis]
    numbers = tf.range(1, logits.shape[-1])
    truth = tf.cast(tf.cast(_known(target, counted), tf.int32)[..., tf.newaxis] == numbers, tf.float32)
    if counted is not None:
        foreground = tf.where(counted[..., tf.newaxis], foreground, 0.0)
    both, predicted, present = (tf.reduce_sum(part, axis=[1, 2]) for part in (foreground * truth, foreground, truth))
    return 1.0 - tf.reduce_mean((2.0 * both + SMOOTH) / (predicted + present + SMOOTH), axis=-1)


def dice_cross_entropy_rows(logits: tf.Tensor, target: tf.Tensor, counted: tf.Tensor | None = None) -> tf.Tensor:
    """Cross-entropy and 1 - soft Dice of each image, added, float32 [batch]. See `cross_entropy_rows`."""
    return cross_entropy_rows(logits, target, counted) + dice_rows(logits, target, counted)


OF_SEGMENTATION = {"cross_entropy": cross_entropy_rows, "dice_ce": dice_cross_entropy_rows}  # by --loss


def aleatoric_rows(
    logits: tf.Tensor,
    sigma: tf.Tensor,
    target: tf.Tensor,
    noise: tf.Tensor | None = None,
    samples: int = 10,
    seed: tf.Tensor | None = None,
    counted: tf.Tensor | None = None,
) -> tf.Tensor:
    """The aleatoric loss of each image, float32 [batch]; see `aleatoric_loss`.

    seed: int32 [2] for stateless draws; None draws from TensorFlow's global state. counted: see `cross_entropy_rows`.
    """
    logits, sigma = tf.cast(logits, tf.float32), tf.cast(sigma, tf.float32)
    if noise is None:
        from tensorflow_probability import distributions as tfd  # here: its import takes seconds

        # The raw head is the scale. A negative one is |sigma| in distribution, as in the reference: loc + scale * eps.
        sampled = tfd.Normal(logits, sigma, validate_args=False).sample(samples, seed=seed)
    else:
        sampled = logits + tf.cast(noise, tf.float32) * sigma
    log_probability = _log_probability(sampled, _known(target, counted))  # [samples, batch, height, width]
    count = tf.cast(tf.shape(sampled)[0], tf.float32)
    # log of the mean probability in log space: the mean itself underflows where every sample is sure and wrong
    log_mean = tf.reduce_logsumexp(log_probability, axis=0) - tf.math.log(count)
    return -_mean(log_mean, counted)


def aleatoric_loss(
    logits: tf.Tensor, sigma: tf.Tensor, target: tf.Tensor, noise: tf.Tensor | None = None, samples: int = 10
) -> tf.Tensor:
    """Negative log of the mean softmax probability over logits perturbed by Gaussian noise (the paper, section 2.3).

    logits, sigma: [batch, height, width, C]; sigma is the standard deviation and may be negative (its sign does not
    matter to the distribution). target: [batch, height, width], indices of classes. noise: standard normal
    [samples, batch, height, width, C] used instead of drawn ones; `samples` is then ignored.
    Returns the mean over all pixels, a float32 scalar.
    """
    return tf.reduce_mean(aleatoric_rows(logits, sigma, target, noise, samples))
