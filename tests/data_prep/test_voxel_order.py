"""Voxel order: permuted as nibabel does it, records of one order, and a patient in another one gets the same maps."""

import itertools

import nibabel
import numpy as np
import pytest

from data_prep import convert, records, voxel_order
from data_prep.readers import brats

OBLIQUE = np.array([[0.98, -0.17, 0.05, 3], [0.17, 0.98, 0.04, -7], [-0.06, -0.03, 2.0, 11], [0, 0, 0, 1]])
ORDERS = [
    "".join(code)
    for axes in itertools.permutations(("LR", "AP", "SI"))
    for code in itertools.product(*axes)
]  # fmt: skip


def in_order(image, order):
    """The same picture in another voxel order, by nibabel alone."""
    start = nibabel.io_orientation(image.affine)
    return image.as_reoriented(nibabel.orientations.ornt_transform(start, nibabel.orientations.axcodes2ornt(order)))


@pytest.mark.parametrize("order", ORDERS)
def test_all_48_orders_are_permuted_as_nibabel_permutes(order):
    """Every voxel where nibabel puts it, channels and all, and back again."""
    array = np.random.default_rng(0).integers(0, 999, (4, 5, 6, 2))
    image = nibabel.Nifti1Image(array.astype(np.int16), OBLIQUE)
    own = voxel_order.of_affine(OBLIQUE)
    other = in_order(image, order)
    assert own == "RAS" and voxel_order.of_affine(other.affine) == order
    ours = array.transpose(2, 1, 0, 3)
    there = voxel_order.permuted(ours, own, order)
    np.testing.assert_array_equal(there, np.asarray(other.dataobj).transpose(2, 1, 0, 3))
    np.testing.assert_array_equal(voxel_order.permuted(there, order, own), ours)


def test_unknown_or_equal_orders_change_nothing():
    """The array itself comes back."""
    array = np.zeros((2, 3, 4))
    for start, end in ((None, "RAS"), ("RAS", None), ("LPS", "LPS")):
        assert voxel_order.permuted(array, start, end) is array
    assert voxel_order.of_affine(np.diag([0, 1, 1, 1.0])) is None
    assert voxel_order.of_affine(np.diag([np.nan, 1, 1, 1])) is None


@pytest.mark.parametrize(
    ("orders", "common"),
    [(["RAS", "LPS", "RAS"], "RAS"), (["RAS", "LPS"], "LPS"), (["RAS", "PIR"], "PIR"), ([], None)],
)
def test_most_subjects_decide(orders, common):
    """Between equals it is the order that BraTS is distributed in."""
    assert voxel_order.common(dict(enumerate(orders))) == common


def patient(folder, name, order="LPS", seed=0):
    """Files of one patient whose content depends on the seed alone, in a voxel order."""
    affine = np.diag([-1.0, -1, 2, 1])
    affine[:3, 3] = 4, 9, -3
    random = np.random.default_rng(seed)
    for suffix in ("flair", "t1", "t2", "t1ce", "seg"):
        high = 3 if suffix == "seg" else 900
        array = random.integers(0, high, (9, 8, 5)).astype(np.int16)
        image = nibabel.Nifti1Image(array, affine)
        image.set_sform(affine, 1), image.set_qform(affine, 1)
        (folder / name).mkdir(parents=True, exist_ok=True)
        nibabel.save(in_order(image, order), folder / name / f"{name}_{suffix}.nii.gz")
    return folder / name


def test_records_of_a_mixed_cohort_are_those_of_one_order(tmp_path):
    """One RAS and one PIR subject among LPS ones become the same records, with the headers of their own files; it is said."""
    mixed = {"a": "LPS", "b": "RAS", "c": "LPS", "d": "PIR", "e": "LPS"}
    made = {}
    for kind in ("alike", "mixed"):
        for seed, (name, order) in enumerate(mixed.items()):
            patient(tmp_path / kind, name, order if kind == "mixed" else "LPS", seed)
        lines = []
        made[kind] = convert.convert("brats", tmp_path / kind, tmp_path / f"{kind}_data", say=lines.append)
        said = [line for line in lines if "voxels in the order" in line]
        assert len(said) == (kind == "mixed")
    assert said[0].startswith("b and 1 more: voxels in the order RAS or another, not LPS: permuted to LPS")
    assert [shard.sha256 for shard in made["mixed"].shards] == [shard.sha256 for shard in made["alike"].shards]
    assert made["mixed"].identity == made["alike"].identity and made["mixed"].task.order == "LPS"
    for name, order in mixed.items():
        found = records.read_subject(tmp_path / "mixed_data", made["mixed"], name)
        assert voxel_order.of_header(found.header) == order and found.order == "LPS"
        source = nibabel.load(tmp_path / "mixed" / name / f"{name}_t2.nii.gz")
        np.testing.assert_array_equal(found.in_order(None).image[..., 2].T, np.asarray(source.dataobj))
        np.testing.assert_array_equal(found.restored(found.image)[..., 2].T, np.asarray(source.dataobj))


def test_a_cohort_of_another_order_keeps_it(tmp_path):
    """All RAS: nothing is permuted and nothing said, as before; the records say what they are."""
    lines = []
    for seed, name in enumerate("abc"):
        patient(tmp_path / "raw", name, "RAS", seed)
    manifest = convert.convert("brats", tmp_path / "raw", tmp_path / "data", say=lines.append)
    assert manifest.task.order == "RAS" and not any("order" in line for line in lines)
    found = records.read_subject(tmp_path / "data", manifest, "a")
    raw = nibabel.load(tmp_path / "raw" / "a" / "a_flair.nii.gz")
    np.testing.assert_array_equal(found.image[..., 0].T, np.asarray(raw.dataobj))


def test_records_of_before_learn_their_order_from_their_headers(tmp_path):
    """They have none of their own; where their headers differ it stays unknown, and nothing is permuted."""
    from data_prep.base import artefacts

    for order, learned in (("LPS", "LPS"), ("RAS", None)):
        raw, data = tmp_path / order, tmp_path / f"{order}_data"
        for seed, (name, own) in enumerate((("a", "LPS"), ("b", "LPS"), ("c", order))):
            patient(raw, name, own, seed)
        convert.convert("brats", raw, data, say=lambda _: None)
        content = artefacts.read_json(data / "dataset.json")
        del content["task"]["order"]
        artefacts.write_json(data / "dataset.json", content)
        assert records.read_manifest(data).task.order == learned


def test_statistics_do_not_depend_on_the_files_order(tmp_path):
    """Sums in float32 depend on the order of their terms, so the volume is permuted first."""
    there = {order: patient(tmp_path / order, "p", order) for order in ("LPS", "RAS", "ASL")}
    loaded = {order: brats.load(brats.find_one(path), {"order": "LPS"}) for order, path in there.items()}
    for order in ("RAS", "ASL"):
        np.testing.assert_array_equal(loaded[order].image, loaded["LPS"].image)
        np.testing.assert_array_equal(loaded[order].mean, loaded["LPS"].mean)
        np.testing.assert_array_equal(loaded[order].std, loaded["LPS"].std)
