"""Which epoch is kept, by scores alone: no network, no TensorFlow."""

import types

import pytest

from tfunc.learning import selection
from tfunc.learning.selection import Counters


def run(scores, quirks=False):
    """Counters after epochs of these (Dice, loss), and which of them were the best so far."""
    counters, better = Counters(), []
    for score, loss in scores:
        counters.take_step(loss)
        better.append(counters.close_epoch(score, loss, quirks))
    return counters, [index + 1 for index, is_better in enumerate(better) if is_better]


def test_the_first_of_equals_is_the_best():
    """A Dice must be strictly greater to replace the best, as in the reference."""
    counters, better = run([(0.2, 1.0), (0.3, 1.0), (0.3, 0.1), (0.1, 0.1)])
    assert better == [1, 2] and counters.best_epoch == 2 and counters.best == 0.3 and counters.waited == 2


@pytest.mark.parametrize(("quirks", "expected"), [(False, [1, 3, 4]), (True, [1, 2, 4])])
def test_below_what_counts_as_found_the_loss_decides(quirks, expected):
    """A Dice under 0.05 is chance; the reference keeps it all the same."""
    assert run([(0.0, 0.5), (0.04, 0.6), (0.01, 0.4), (0.06, 0.9)], quirks)[1] == expected


def test_an_epochs_entry_is_the_mean_of_its_steps():
    """The history has the mean training loss, the step reached, and the validation's numbers; the sums start anew."""
    counters = Counters()
    for loss in (1.0, 2.0, 6.0):
        counters.take_step(loss)
    counters.close_epoch(0.5, 0.25, False)
    assert counters.history == [{"epoch": 1, "step": 3, "loss": 3.0, "valid_loss": 0.25, "valid_dice": 0.5}]
    assert (counters.step_in_epoch, counters.loss_sum) == (0, 0.0)


def test_when_it_is_over():
    """By steps, by patience, and never between an epoch's last step and its validation."""
    config = types.SimpleNamespace(epochs=4, max_steps=None)
    assert selection.total_steps(config, 10) == 40
    assert selection.total_steps(types.SimpleNamespace(epochs=4, max_steps=25), 10) == 25
    assert selection.is_over(Counters(step=40), 40, None) and not selection.is_over(Counters(step=39), 40, None)
    assert not selection.is_over(Counters(step=40, step_in_epoch=10), 40, None)
    assert selection.is_over(Counters(step=10, waited=2), 40, 2) and not selection.is_over(Counters(waited=1), 40, 2)
