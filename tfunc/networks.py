"""The one table of networks: what is trained once, on what, for how long, and which weights are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from data_prep import split_files
from data_prep.base.documents import Count
from data_prep.base.errors import Command, UserError, command
from data_prep.base.names import Component
from data_prep.folds import k_folds, leave_out_blocks
from data_prep.records import Manifest
from tfunc import paper

Names = list[str]
Few = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
OWN_LOSS = ("aleatoric", "auxiliary_feat", "auxiliary_segm", "ssn")  # objectives


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something trained once, in `runs/<dataset>/networks/<name>`, whose `config.json` holds all of this.

    name: as on the command line.  objective: what it learns, a module of `tfunc.learning.objectives`, or
    `package.module:Class` for one of your own.
    model: `unet`, or `auxiliary_head`, a head on the last features of the network `base`.  dropout: rate, in [0, 1).
    center: dropout at the center positions only.  sigma: whether there is a second head.  rank: that head's, where it says
    the covariance of a slice's logits instead.  classes: of the softmax; a row's 2 become the task's where the network
    segments (`resolved`), and stay where it tells errors.
    seed: added to --seed.  subset: `train` (the split), `member` or `fold`; `index` of `count` says which.
    needs: networks that must be trained first.  base: the one of them that runs, frozen, beneath this one.  begins: the one
    whose weights it begins with, unless the user names others (--init_from).
    inherits: settings that are the base's rather than the user's.  by_epoch: whether the weights of its last epochs are kept
    beside the last one's (--kept_epochs), each a network to predict with.
    second_input: `heldout` for a segmentation as one more channel: one that was written by a network of the
    cross-validation which never saw the subject.
    """

    name: Component
    objective: str = "segmentation"
    model: Literal["unet", "auxiliary_head"] = "unet"
    dropout: float = 0.05
    center: bool = False
    sigma: bool = False
    rank: Few = 0
    classes: Few = 2
    seed: Count = 0
    subset: Literal["train", "member", "fold"] = "train"
    index: Few = 0
    count: Few = 0
    needs: tuple[Component, ...] = ()
    base: str = ""
    begins: str = ""
    inherits: tuple[str, ...] = ()
    by_epoch: bool = False
    second_input: Literal["", "heldout"] = ""

    @property
    def segments(self) -> bool:
        """Whether its classes are the task's, not error or none: it stands on no other network's segmentation."""
        return not (self.base or self.second_input)

    @property
    def has_own_loss(self) -> bool:
        """Whether its objective is one of ours that learns by a loss of its own, whatever --loss says."""
        return self.objective in OWN_LOSS

    def resolved(self, classes: int) -> Network:
        """The network for a task of that many classes."""
        return msgspec.structs.replace(self, classes=classes) if self.segments and self.classes == 2 else self

    @property
    def family(self) -> str:
        """What it is one of: `ensemble`, `cv`, or its own name."""
        return {"member": "ensemble", "fold": "cv"}.get(self.subset, self.name)

    def epochs(self, dataset: str, quirks: bool = False) -> int:
        """Passes over the training slices where the user gives no number: the recipe's for the data set."""
        recipe = paper.recipe(dataset)
        return recipe.quirk_epochs.get(self.family, recipe.epochs) if quirks else recipe.epochs

    def keeps_last(self, dataset: str, quirks: bool = False) -> bool:
        """Whether the last epoch's weights are kept rather than the best.

        A cross-validated network must not be selected on the fold that it then predicts. The reference does that, and
        tests the auxiliary networks of photographs, but not those of BraTS, at their last epoch. One that begins with
        trained weights has its Dice from the first epoch on, when it has not yet learnt what it was made for; and of one whose
        last epochs are kept the last is among them.
        """
        if self.begins or self.by_epoch:
            return True
        if quirks:
            return self.objective in paper.recipe(dataset).quirk_keeps_last
        return self.subset == "fold"


AUXILIARIES = (
    Network(
        "auxiliary_feat",
        "auxiliary_feat",
        model="auxiliary_head",
        dropout=0.0,
        needs=("baseline",),
        base="baseline",
        inherits=("start_filters", "depth"),
    ),
    Network("auxiliary_segm", "auxiliary_segm", needs=("baseline",), second_input="heldout"),
)
SINGLE = {
    network.name: network
    for network in (
        Network("baseline"),
        Network("center", dropout=0.5, center=True),
        Network("aleatoric", "aleatoric", sigma=True),
        *AUXILIARIES,
        Network("checkpoints", by_epoch=True),
        Network("ssn", "ssn", rank=10, needs=("baseline",), begins="baseline"),
    )
}
ENSEMBLE, FOLDS = "ensemble", "cv"  # in a method's networks: all members, all folds


def member(index: int, count: int) -> Network:
    """Member `index` of an ensemble of `count`: its own seed and nine tenths of the training subjects."""
    return Network(f"ensemble_{index:02}", seed=index, subset="member", index=index, count=count)


def fold(index: int, count: int) -> Network:
    """Network `index` of a cross-validation, trained on all folds but that one."""
    return Network(f"cv_{index}", subset="fold", index=index, count=count)


FAMILIES = {ENSEMBLE: member, FOLDS: fold}  # what stands for several networks: (index, count) -> one of them
WHOLE = {ENSEMBLE: "ensemble", FOLDS: "cv_ensemble"}  # the method that predicts with all of a family


def named(names: tuple[str, ...], members: int, folds: int) -> list[Network]:
    """The networks of a method, `ensemble` standing for its `members` and `cv` for all `folds`; raises `UserError`."""
    counts, found = {ENSEMBLE: members, FOLDS: folds}, []
    for name in names:
        if name in FAMILIES:
            found += [FAMILIES[name](index, counts[name]) for index in range(counts[name])]
        else:
            found.append(get(name, members, folds))
    return found


def get(name: str, members: int = 10, count: int = 5) -> Network:
    """The network called `name`, of an ensemble of `members` and a cross-validation of `count` folds; or `UserError`."""
    known = {
        **SINGLE,
        **{network.name: network for network in (member(index, members) for index in range(members))},
        **{network.name: network for network in (fold(index, count) for index in range(count))},
    }
    if name not in known:
        raise UserError(f"network {name!r}", expected=f"one of {', '.join(known)}")
    return known[name]


def training_command(name: str, dataset: str) -> Command:
    """The command that trains the network called `name`: members and folds are trained by the method of all of them."""
    family, _, number = name.rpartition("_")
    whole = WHOLE.get(family) if number.isdecimal() else None
    return command("train", method=whole or name, dataset=dataset)


def study_command(dataset: str) -> Command:
    """The command that trains the cross-validation and predicts the held-out folds, for the networks that take them."""
    names = ",".join(network.name for network in SINGLE.values() if network.second_input)
    return command("study", dataset=dataset, methods=names)


def folds(manifest: Manifest, count: int) -> list[tuple[Names, Names]]:
    """The cross-validation's (train names, held-out names) for each fold.

    The split file's where it has them; else `count` folds of the splits that the data set's recipe names: stratified by
    grade where the recipe says so and grades are known, otherwise consecutive blocks, as in the reference.
    Raises `UserError`.
    """
    if manifest.folds is not None:
        if len(manifest.folds) != count:
            raise UserError(f"--folds={count}", expected=f"{len(manifest.folds)}, as in the split file of the records")
        do = "prepare the data with a whole cross-validation file"  # records of before may hold another
        split_files.refuse_uncovered(
            manifest.path, [entry.name for entry in manifest.split("train")], manifest.folds, do
        )
        made: Sequence[Mapping[str, Sequence[str]]] = manifest.folds
    else:
        recipe = paper.recipe(manifest.task.name)
        entries = {entry.name: entry for split in recipe.folds_of for entry in manifest.split(split)}
        grades = [entry.grade for entry in entries.values()]
        stratify = grades if recipe.stratified and all(grades) else None
        made = k_folds(list(entries), count, stratify, manifest.patients)
    return [(list(fold["train"]), list(fold["valid"])) for fold in made]


def subjects(
    network: Network, manifest: Manifest, quirks: bool = False, cross_validation: int = 5
) -> tuple[Names, Names]:
    """(training names, validation names) of a network; cross_validation: number of folds.

    Raises `UserError` where there are too few subjects.
    """
    train = [entry.name for entry in manifest.split("train")]
    valid = [entry.name for entry in manifest.split("valid")]
    if network.subset == "member":
        if manifest.members is not None:
            if network.count > len(manifest.members):
                expected = f"at most the split file's {len(manifest.members)}"
                raise UserError("--ensemble_size", expected=expected, found=f"{network.count}")
            return list(manifest.members[network.index]), valid
        return leave_out_blocks(train, network.count, manifest.patients)[network.index], valid
    if network.subset == "fold":
        return folds(manifest, network.count)[network.index]
    if quirks and network.objective in paper.recipe(manifest.task.name).quirk_one_fold:
        return folds(manifest, cross_validation)[0]
    return train, valid
