"""The one table of networks: what is trained once, on what, for how long, and which weights are kept."""

import dataclasses
import math

from data_prep import splits
from data_prep.base.errors import UserError


@dataclasses.dataclass(frozen=True)
class Network:
    """Something trained once, in `runs/<dataset>/networks/<name>`.

    objective: what it learns (`tfunc/objectives.py`). dropout, center, sigma: of its U-Net. seed: added to --seed.
    subset: `train` (the split), `member` or `fold`; `index` of `count` says which.
    reference_epochs: BraTS epochs under --reference_quirks. needs: networks that must be trained first.
    """

    name: str
    objective: str = "segmentation"
    dropout: float = 0.05
    center: bool = False
    sigma: bool = False
    seed: int = 0
    subset: str = "train"
    index: int = 0
    count: int = 0
    reference_epochs: int = 50
    needs: tuple = ()

    def epochs(self, dataset, quirks=False):
        """The reference's defaults. On BraTS it gave some networks 100 epochs and others 50; by default all get 50."""
        if dataset == "isic":
            return 100
        return self.reference_epochs if quirks else 50

    def keeps_last(self, dataset, quirks=False):
        """Whether the last epoch's weights are kept rather than the best.

        A cross-validated network must not be selected on the fold that it then predicts. The reference does that, and
        tests the auxiliary networks of ISIC, but not those of BraTS, at their last epoch.
        """
        if quirks:
            return dataset == "isic" and self.objective.startswith("auxiliary")
        return self.subset == "fold"


AUXILIARIES = (
    Network("auxiliary_feat", "auxiliary_feat", reference_epochs=100, needs=("baseline",)),
    Network("auxiliary_segm", "auxiliary_segm", needs=("baseline",)),
)
SINGLE = {
    network.name: network
    for network in (
        Network("baseline"),
        Network("center", dropout=0.5, center=True),
        Network("aleatoric", "aleatoric", sigma=True),
        *AUXILIARIES,
    )
}


def member(index, count):
    """Member `index` of an ensemble of `count`: its own seed and nine tenths of the training subjects."""
    return Network(f"ensemble_{index:02}", seed=index, subset="member", index=index, count=count, reference_epochs=100)


def fold(index, count):
    """Network `index` of a cross-validation, trained on all folds but that one."""
    return Network(f"cv_{index}", subset="fold", index=index, count=count, reference_epochs=100)


def folds(manifest, count):
    """The cross-validation's (train names, held-out names) for each fold.

    The split file's where it has them; else `count` folds, on BraTS of train and valid together and stratified by grade
    where grades are known, on ISIC of consecutive blocks of train, as in the reference. Raises `UserError`.
    """
    if manifest.folds is not None:
        if len(manifest.folds) != count:
            raise UserError(f"--folds={count}", expected=f"{len(manifest.folds)}, as in the split file of the records")
        made = manifest.folds
    else:
        entries = manifest.split("train")
        if manifest.dataset == "brats":
            entries = entries + [entry for entry in manifest.split("valid") if entry not in entries]
        names, grades = [entry.name for entry in entries], [entry.grade for entry in entries]
        made = splits.k_folds(names, count, grades if manifest.dataset == "brats" and all(grades) else None)
    return [(list(fold["train"]), list(fold["valid"])) for fold in made]


def get(name, members=10, count=5):
    """The network called `name`, of an ensemble of `members` and a cross-validation of `count` folds; or `UserError`."""
    known = {
        **SINGLE,
        **{network.name: network for network in (member(index, members) for index in range(members))},
        **{network.name: network for network in (fold(index, count) for index in range(count))},
    }
    if name not in known:
        raise UserError(f"network {name!r}", expected=f"one of {', '.join(known)}")
    return known[name]


def subjects(network, manifest, quirks=False, cross_validation=5):
    """(training names, validation names) of a network; cross_validation: number of folds.

    Raises `UserError` where there are too few subjects.
    """
    train = [entry.name for entry in manifest.split("train")]
    valid = [entry.name for entry in manifest.split("valid")]
    if network.subset == "member":
        if manifest.members is not None:
            if network.count > len(manifest.members):
                found = f"{network.count}"
                raise UserError(
                    "--ensemble_size", expected=f"at most the split file's {len(manifest.members)}", found=found
                )
            return list(manifest.members[network.index]), valid
        return splits.leave_out_blocks(train, network.count)[network.index], valid
    if network.subset == "fold":
        return folds(manifest, network.count)[network.index]
    if network.objective == "auxiliary_segm" and quirks and manifest.dataset == "isic":
        return folds(manifest, cross_validation)[0]  # the reference trains it on fold 0 only
    return train, valid


def check_settings(settings):
    """Raises `UserError` naming the flag for numbers that no training can have; None is a number not given."""
    for name in ("epochs", "batch_size", "start_filters", "depth", "max_steps", "patience"):
        value = settings[name]
        if value is not None and value < 1:
            raise UserError(f"--{name}={value}", expected="1 or more")
    if not 0 <= settings["seed"] < 2**31:
        raise UserError(f"--seed={settings['seed']}", expected="0 or more, below 2147483648")
    if not (settings["learning_rate"] > 0 and math.isfinite(settings["learning_rate"])):
        raise UserError(f"--learning_rate={settings['learning_rate']}", expected="more than 0 and finite")
