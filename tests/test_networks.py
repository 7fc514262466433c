"""Which subjects each network is trained and selected on: the paper's subsets, and no leak."""

import pytest
from made_up import manifest

from data_prep.base.errors import UserError
from tfunc import networks


def test_members_leave_out_consecutive_tenths():
    """Ten members: member k leaves out the k-th tenth of the training list, the validation subjects stay, seeds differ."""
    data = manifest()
    names = [entry.name for entry in data.split("train")]
    left = []
    for index in range(10):
        member = networks.member(index, 10)
        train, valid = networks.subjects(member, data)
        assert member.seed == index
        assert valid == [entry.name for entry in data.split("valid")]
        left.append([name for name in names if name not in train])
    assert left == [names[i : i + 2] for i in range(0, 20, 2)]


@pytest.mark.parametrize("count", [3, 12])
def test_members_of_other_ensembles_leave_out_blocks_of_max_10_k(count):
    """Three members still leave out tenths; twelve leave out twelfths."""
    data = manifest(train=24)
    names = [entry.name for entry in data.split("train")]
    sizes = {len(names) - len(networks.subjects(networks.member(k, count), data)[0]) for k in range(count)}
    assert sizes <= ({2, 3} if count == 3 else {2})


def test_folds_are_disjoint_and_cover():
    """BraTS: the held-out folds partition train and valid together, with both grades in each; none is trained on."""
    data = manifest()
    everyone = {entry.name for entry in data.split("train") + data.split("valid")}
    grades = {entry.name: entry.grade for entry in data.subjects}
    held_out = []
    for index in range(5):
        train, valid = networks.subjects(networks.fold(index, 5), data)
        assert not set(train) & set(valid) and set(train) | set(valid) == everyone
        assert {grades[name] for name in valid} == {"HGG", "LGG"}
        held_out += valid
    assert sorted(held_out) == sorted(everyone)


def test_isic_folds_are_consecutive_blocks_of_train():
    """ISIC: the official validation images stay out of the cross-validation."""
    data = manifest("isic", grades=False)
    names = [entry.name for entry in data.split("train")]
    assert [valid for _, valid in networks.folds(data, 5)] == [names[i : i + 4] for i in range(0, 20, 4)]


def test_no_network_is_selected_on_the_fold_it_predicts():
    """Cross-validated networks keep their last epoch by default; the reference's leak is offered by the flag."""
    fold = networks.fold(0, 5)
    assert fold.keeps_last("brats") and fold.keeps_last("isic")
    assert not fold.keeps_last("brats", quirks=True)
    assert not networks.get("auxiliary_segm").keeps_last("isic")
    assert networks.get("auxiliary_segm").keeps_last("isic", quirks=True)
    assert not networks.get("auxiliary_segm").keeps_last("brats", quirks=True)


def test_epochs():
    """All networks of a data set train as long by default; with the quirks BraTS' members get twice the baseline's."""
    every = [*networks.SINGLE.values(), networks.member(0, 10), networks.fold(0, 5)]
    assert {network.epochs("brats") for network in every} == {50}
    assert {network.epochs("isic", quirks) for network in every for quirks in (False, True)} == {100}
    doubled = {network.name for network in every if network.epochs("brats", quirks=True) == 100}
    assert doubled == {"auxiliary_feat", "ensemble_00", "cv_0"}


def test_quirk_trains_isic_auxiliary_on_fold_0():
    """auxiliary_segm learns from all of train by default, from fold 0 only in the reference."""
    data, network = manifest("isic", grades=False), networks.get("auxiliary_segm")
    assert len(networks.subjects(network, data)[0]) == 20
    train, valid = networks.subjects(network, data, quirks=True)
    assert (len(train), len(valid)) == (16, 4)


def test_split_file_wins():
    """Members and folds of the split file are used as they are, and another number is refused."""
    names = [f"s{index:03}" for index in range(20)]
    blocks = [names[start : start + 4] for start in range(0, 20, 4)]
    folds = tuple({"train": tuple(n for n in names if n not in part), "valid": tuple(part)} for part in blocks)
    data = manifest(members=(tuple(names[3:]), tuple(names[:-3])), folds=folds)
    assert networks.subjects(networks.member(1, 2), data)[0] == names[:-3]
    assert networks.subjects(networks.fold(4, 5), data) == (names[:16], names[16:])
    with pytest.raises(UserError, match="at most the split file's 2"):
        networks.subjects(networks.member(2, 3), data)
    with pytest.raises(UserError, match="--folds=3"):
        networks.folds(data, 3)


def test_unknown_network():
    """The error lists the names."""
    with pytest.raises(UserError, match=r"network 'cv_5'.*cv_4"):
        networks.get("cv_5")
