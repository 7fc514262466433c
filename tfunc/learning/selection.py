"""Which epoch's weights are kept, and when a training is over: pure functions of its scores. No TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tfunc.runs import Config

FOUND = 0.05  # a lower Dice is as good as none


@dataclasses.dataclass
class Counters:
    """Where a training stands; what resume.json holds of it.

    epoch, step: finished ones. step_in_epoch, loss_sum: of the epoch under way. best, best_loss, best_epoch: Dice and
    loss of the best epoch so far, best below 0 before any. kept_epoch: whose weights are kept. waited: epochs since the
    best. history: one entry an epoch: epoch, step, loss, validation loss, Dice. finished: what the training was each time
    it was finished, epochs and checksum of its weights: it may be prolonged.
    """

    epoch: int = 0
    step: int = 0
    step_in_epoch: int = 0
    loss_sum: float = 0.0
    best: float = -1.0
    best_loss: float = 0.0
    best_epoch: int = 0
    kept_epoch: int = 0
    waited: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    finished: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def take_step(self, loss: float) -> None:
        """Counts one optimizer step of that loss."""
        self.step, self.step_in_epoch, self.loss_sum = self.step + 1, self.step_in_epoch + 1, self.loss_sum + loss

    def close_epoch(self, score: float, loss: float, quirks: bool) -> bool:
        """Counts the epoch under way, of that validation Dice and loss; returns whether it is the best so far."""
        self.epoch += 1
        entry = {"epoch": self.epoch, "step": self.step, "loss": self.loss_sum / max(1, self.step_in_epoch)}
        self.step_in_epoch, self.loss_sum = 0, 0.0
        self.history.append({**entry, "valid_loss": loss, "valid_dice": score})
        better = is_better(score, loss, self.best, self.best_loss, quirks)
        self.waited = 0 if better else self.waited + 1
        if better:
            self.best, self.best_loss, self.best_epoch = score, loss, self.epoch
        return better


def is_better(score: float, loss: float, best: float, best_loss: float, quirks: bool = False) -> bool:
    """Whether an epoch is the best so far: by a strictly greater Dice, as in the reference.

    An error is rarely likelier than not, so an auxiliary network's Dice can stay at 0 or at a few voxels of chance; the
    reference (quirks) then keeps its first epoch, and we the one of the lowest validation loss.
    """
    if not quirks and best >= 0 and max(score, best) < FOUND:
        return loss < best_loss
    return score > best


def dice_score(intersection: int, predicted: int, target: int, smooth: bool) -> float:
    """Dice from voxel counts. smooth: (2 I + 1) / (P + T + 1), the reference's on ISIC; else 1 where both are empty."""
    if smooth:
        return (2 * intersection + 1) / (predicted + target + 1)
    return 2 * intersection / (predicted + target) if predicted + target else 1.0


def mean_dice(regions: Sequence[tuple[int, int, int]], smooth: bool) -> float:
    """Mean of the regions' Dice. regions: (intersection, predicted, target) of each. smooth: see `dice_score`."""
    found = [dice_score(both, predicted, target, smooth) for both, predicted, target in regions]
    return sum(found) / len(found)


def total_steps(config: Config, an_epoch: int) -> int:
    """Steps of the whole training, of `an_epoch` each epoch."""
    total = an_epoch * config.epochs
    return min(total, config.max_steps) if config.max_steps else total


def is_over(counters: Counters, total: int, patience: int | None) -> bool:
    """Whether nothing is left to train: the steps are taken, or too many epochs in a row were not better."""
    if counters.step_in_epoch:  # stopped between an epoch's last step and its validation
        return False
    return counters.step >= total or (patience is not None and counters.waited >= patience)


def is_kept(better: bool, over: bool, keeps: str) -> bool:
    """Whether the weights of the epoch that was closed are kept. keeps: `best` or `last`."""
    return better if keeps == "best" else over
