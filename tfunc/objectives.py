"""What a network learns: its model, its loss for each slice of a batch, and what its validation Dice compares.

An objective is built once (`__init__`, inside the strategy's scope) and called in graphs. It has
    model: the Keras model that is trained
    rows(batch, training, keeps, seed) -> (loss float32 [n], predicted bool [n, h, w], target bool [n, h, w])
"""

from tfunc import losses, unet


class Segmentation:
    """Cross-entropy of the U-Net's logits; Dice of its mask."""

    def __init__(self, network, channels, config):
        self.model = unet.unet(
            channels,
            start_filters=config.start_filters,
            depth=config.depth,
            dropout=network.dropout,
            center=network.center,
            sigma=network.sigma,
            seed=config.seed,
            dtype=config.dtype_policy,
        )

    def rows(self, batch, training, keeps=None, seed=None):
        logits = self.model(batch["image"], training=training, keeps=keeps)
        loss = losses.cross_entropy_rows(logits, batch["label"])
        return loss, logits[..., 1] > logits[..., 0], batch["label"] > 0


class Aleatoric(Segmentation):
    """The aleatoric loss of (logits, sigma); Dice of the logits' mask. Validation's loss draws from a fixed seed."""

    def rows(self, batch, training, keeps=None, seed=None):
        logits, sigma = self.model(batch["image"], training=training, keeps=keeps)
        loss = losses.aleatoric_rows(logits, sigma, batch["label"], seed=seed)
        return loss, logits[..., 1] > logits[..., 0], batch["label"] > 0


OBJECTIVES = {"segmentation": Segmentation, "aleatoric": Aleatoric}
