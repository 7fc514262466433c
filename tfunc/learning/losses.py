"""Cross-entropy and the aleatoric loss. Everything here is float32, whatever precision the network runs in."""

from __future__ import annotations

import tensorflow as tf


def _log_probability(difference, target):
    """log softmax of the target's class, from the logit difference (foreground minus background)."""
    return -tf.nn.softplus(tf.where(tf.cast(target, tf.bool), -difference, difference))


def _difference(pair):
    pair = tf.cast(pair, tf.float32)
    return pair[..., 1] - pair[..., 0]


def cross_entropy_rows(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of each image: logits [batch, height, width, 2], target [batch, height, width] in {0, 1} -> [batch]."""
    return -tf.reduce_mean(_log_probability(_difference(logits), target), axis=[1, 2])


def aleatoric_rows(
    logits: tf.Tensor,
    sigma: tf.Tensor,
    target: tf.Tensor,
    noise: tf.Tensor | None = None,
    samples: int = 10,
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """The aleatoric loss of each image, float32 [batch]; see `aleatoric_loss`.

    seed: int32 [2] for stateless draws; None draws from TensorFlow's global state.
    """
    logits, sigma = tf.cast(logits, tf.float32), tf.cast(sigma, tf.float32)
    if noise is None:
        from tensorflow_probability import distributions as tfd  # here: its import takes seconds

        # The raw head is the scale. A negative one is |sigma| in distribution, as in the reference: loc + scale * eps.
        sampled = tfd.Normal(logits, sigma, validate_args=False).sample(samples, seed=seed)
    else:
        sampled = logits + tf.cast(noise, tf.float32) * sigma
    log_probability = _log_probability(_difference(sampled), target)  # [samples, batch, height, width]
    count = tf.cast(tf.shape(sampled)[0], tf.float32)
    # log of the mean probability in log space: the mean itself underflows where every sample is sure and wrong
    log_mean = tf.reduce_logsumexp(log_probability, axis=0) - tf.math.log(count)
    return -tf.reduce_mean(log_mean, axis=[1, 2])


def aleatoric_loss(
    logits: tf.Tensor, sigma: tf.Tensor, target: tf.Tensor, noise: tf.Tensor | None = None, samples: int = 10
) -> tf.Tensor:
    """Negative log of the mean softmax probability over logits perturbed by Gaussian noise (the paper, section 2.3).

    logits, sigma: [batch, height, width, 2]; sigma is the standard deviation and may be negative (its sign does not
    matter to the distribution). target: [batch, height, width] in {0, 1}. noise: standard normal
    [samples, batch, height, width, 2] used instead of drawn ones; `samples` is then ignored.
    Returns the mean over all pixels, a float32 scalar.
    """
    return tf.reduce_mean(aleatoric_rows(logits, sigma, target, noise, samples))
