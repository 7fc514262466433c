"""Cross-entropy, with or without soft Dice, the aleatoric loss and that of a whole slice, of two classes or more.

Everything here is float32, whatever precision the network runs in, but the slice's, which also counts in float64, and
log-probabilities are taken in log space. A loss is a mean over the voxels of a slice that count; a slice without any has loss
0 and teaches nothing.
"""

from __future__ import annotations

import tensorflow as tf

from tfunc.nets import classes, low_rank, streams

SMOOTH = 1.0  # of soft Dice, above and below: nothing said where nothing is has no loss


def _log_probability(logits, target):
    """log softmax of the target's class: logits [..., height, width, C] and target of a shape that broadcasts to [...]."""
    if logits.dtype != tf.float64:
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


def low_rank_rows(
    mean: tf.Tensor,
    factor: tf.Tensor,
    diagonal: tf.Tensor,
    target: tf.Tensor,
    noise: tuple[tf.Tensor, tf.Tensor] | None = None,
    samples: int = 20,
    seed: tf.Tensor | None = None,
    counted: tf.Tensor | None = None,
) -> tf.Tensor:
    """-log of the mean over samples of the probability of a *whole* slice's target (Monteiro et al., 2020), [batch].

    It is a sum over the slice's voxels that count, not their mean: -logsumexp_m(sum_v log p(y_v | sample m)) + log M.

    mean: logits [batch, *voxels, C], float32 or float64, which the result has too; factor, diagonal: of `low_rank.parts`.
    target: [batch, *voxels], indices of classes. noise: standard normals [M / 2, batch, rank] and
    [M / 2, batch, *voxels, C] in place of drawn ones; every draw is used with both signs, as by the authors, so that samples
    balance around the mean. samples: M, an even number. seed: int32 [2]. counted: see `cross_entropy_rows`.
    """
    if noise is None:
        half, batch, rank = samples // 2, tf.shape(mean)[0], factor.shape[-1]
        shapes = [half, batch, rank], tf.concat([[half], tf.shape(mean)], axis=0)
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2, alg=streams.ALGORITHM))
        noise = tuple(
            tf.random.stateless_normal(shape, own, dtype=mean.dtype, alg=streams.ALGORITHM)
            for shape, own in zip(shapes, seeds, strict=True)
        )
    added = low_rank.deviation(factor, diagonal, *noise)
    log_probability = _log_probability(tf.concat([mean + added, mean - added], axis=0), _known(target, counted))
    if counted is not None:
        log_probability = tf.where(counted, log_probability, tf.zeros_like(log_probability))
    whole = tf.reduce_sum(log_probability, axis=list(range(2, log_probability.shape.rank)))  # [samples, batch]
    return tf.math.log(tf.cast(tf.shape(whole)[0], whole.dtype)) - tf.reduce_logsumexp(whole, axis=0)
