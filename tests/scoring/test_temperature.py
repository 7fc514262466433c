"""Temperatures equal SciPy's bounded minimum on the goldens, the peers' where they are right, and keep every segmentation."""

import dataclasses

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np
import pytest
from conftest import GOLDENS
from scipy import special

from data_prep.base.errors import UserError
from tfunc.scoring import counts, metrics
from tfunc.scoring import temperature as scaling
from tfunc.scoring.temperature import temperature

NUMBERS = np.load(GOLDENS / "subject_level" / "temperature" / "given.npz", allow_pickle=False)
BINARY, SEVERAL = NUMBERS["binary_cases"].tolist(), NUMBERS["multiclass_cases"].tolist()
BOUNDS = {"all_foreground": 100, "anti_separable": 100, "separable": 0.01, "one_voxel": 0.01}
ORDINARY = [f"bin_{name}" for name in BINARY if name not in BOUNDS and name != "zero_logits"] + SEVERAL


def golden(case, name):
    return NUMBERS[f"{case}__{name}"]


@pytest.mark.parametrize("case", ORDINARY)
def test_goldens(case):
    """T is SciPy's within 1e-5 and the peers' within 1e-3 where they neither clamp nor stop early; the NLL within 1e-8."""
    found = temperature(golden(case, "labels"), logits=golden(case, "logits"))
    assert found.temperature == pytest.approx(float(golden(case, "scipy_T")), rel=1e-5)
    assert found.likelihood == pytest.approx(float(golden(case, "scipy_nll")), abs=1e-8)
    assert found.before == pytest.approx(float(golden(case, "nll_T1")), abs=1e-8)
    assert not (found.at_bound or found.undefined)
    assert float(found) == found.temperature
    if case not in ("bin_saturated", "bin_subject4"):
        assert found.temperature == pytest.approx(float(golden(case, "torch_uncertainty_T")), rel=1e-3)
        assert found.temperature == pytest.approx(1 / float(golden(case, "netcal_temperature_attr")), rel=1e-3)


@pytest.mark.parametrize("case", [case for case in ORDINARY if case.startswith("bin_")])
def test_calibration_error_before_and_after(case):
    """ECE in ten bins, before and at SciPy's T, is that of torchmetrics and netcal; `apply` gives the same as the logits do."""
    label, logits = golden(case, "labels"), golden(case, "logits")
    for when, chosen in (("before", 1.0), ("after", float(golden(case, "scipy_T")))):
        found = metrics.calibration_error(counted(special.expit(logits / chosen), label))
        for peer in ("torchmetrics", "netcal"):
            assert found == pytest.approx(float(golden(case, f"{peer}_binary_ece_{when}_b10")), abs=1e-6)
        plain = np.abs(logits) < 9  # of surer ones float32 keeps few digits of 1 - p
        own = scaling.apply(special.expit(logits[plain]).astype(np.float32), chosen)
        np.testing.assert_allclose(own, special.expit(logits[plain] / chosen), atol=2e-5)


def counted(probability, label):
    """`Counts` of the calibration alone."""
    voxels, sums = counts.calibration_counts(probability, label)
    return dataclasses.replace(counts.empty_counts(), calibration=voxels, probability=sums)


@pytest.mark.parametrize("case", BOUNDS)
def test_no_minimum_within_the_bounds(case):
    """Where the NLL falls up to a bound, T is that bound and says so; peers give a negative T or stop anywhere."""
    found = temperature(golden(f"bin_{case}", "labels"), logits=golden(f"bin_{case}", "logits"))
    assert (found.temperature, found.at_bound, found.undefined) == (BOUNDS[case], True, False)
    assert found.likelihood <= float(golden(f"bin_{case}", "scipy_nll")) + 1e-8


def test_any_temperature_fits():
    """Logits that are all alike leave T undefined: 1, flagged; of two classes and of several, from logits or probabilities."""
    label = golden("bin_zero_logits", "labels")
    several = np.full((*label.shape, 3), 0.3)
    for found in (
        temperature(label, logits=golden("bin_zero_logits", "logits")),
        temperature(label, probability=np.full(label.shape, 0.5)),
        temperature(label, logits=several),
        temperature(label, probability=np.full_like(several, 1 / 3)),
    ):
        assert (found.temperature, found.undefined, found.at_bound) == (1, True, False)
        assert found.likelihood == found.before


@pytest.mark.parametrize("case", ["bin_subject0", "mc_over"])
def test_probabilities_are_their_logits(case):
    """A probability that is not clipped gives the temperature of its logits, in any shape, two classes as a softmax too."""
    label, logits = golden(case, "labels"), golden(case, "logits")
    if logits.ndim == 1:
        label, logits = label[np.abs(logits) < 16], logits[np.abs(logits) < 16]
        probability = 1 / (1 + np.exp(-logits))
        both = np.stack([np.zeros_like(logits), logits], axis=-1)
        assert temperature(label, logits=both).temperature == pytest.approx(float(temperature(label, logits=logits)))
    else:
        probability = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        probability = np.clip(probability, 2.0**-24, 1)
        logits = np.log(probability)
    shape = (2, len(label) // 2, *logits.shape[1:])
    found = temperature(
        label[: 2 * shape[1]].reshape(shape[:2]), probability=probability[: 2 * shape[1]].reshape(shape)
    )
    expected = temperature(label[: 2 * shape[1]], logits=logits[: 2 * shape[1]])
    assert found.temperature == pytest.approx(expected.temperature, rel=1e-6)


@pytest.mark.parametrize("several", [False, True])
def test_recovered(several):
    """Labels drawn from known probabilities, over-confident by 1.7, give 1.7 within 1 %."""
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, (60_000, 4) if several else 60_000)
    if several:
        noise = rng.gumbel(size=logits.shape)
        label = (logits + noise).argmax(axis=-1)
    else:
        label = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    assert temperature(label, logits=1.7 * logits).temperature == pytest.approx(1.7, rel=0.01)


@pytest.mark.parametrize("case", SEVERAL)
def test_over_passes(case):
    """What is only seen in passes gives the same temperature as at once, in few of them."""
    label, logits, asked = golden(case, "labels"), golden(case, "logits").T, []

    def evaluate(beta):
        asked.append(beta)
        return scaling.moments(logits, label, beta)

    table = np.array([scaling.moments(logits, label, beta) for beta in scaling.NODES])
    found = scaling.over_passes(table, len(label), evaluate)
    assert found.temperature == pytest.approx(float(golden(case, "scipy_T")), rel=1e-6)
    assert found.likelihood == pytest.approx(float(golden(case, "scipy_nll")), abs=1e-8)
    assert found.before == pytest.approx(float(golden(case, "nll_T1")), abs=1e-8)
    assert len(asked) <= 4


@pytest.mark.parametrize(("sure", "expected"), [(3.0, 0.01), (-3.0, 100), (0.0, 1)])
def test_over_passes_without_a_minimum(sure, expected):
    """At a bound, and where any temperature fits, no further pass is needed."""
    label = np.array([0, 1, 2, 2])
    logits = sure * np.eye(3)[:, label]
    table = np.array([scaling.moments(logits, label, beta) for beta in scaling.NODES])
    assert scaling.over_passes(table, 4, None) == scaling.of_classes(logits, label)
    assert float(scaling.over_passes(table, 4, None)) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "one of them, found neither"),
        ({"logits": [0.0], "probability": [0.5]}, "found both"),
        ({"logits": [[0.0, 1.0]] * 2}, "of the label's shape (1,)"),
        ({"logits": [np.inf]}, "finite logits, found NaN or infinity"),
        ({"probability": [1.5]}, "in [0, 1], found 1.5 to 1.5"),
        ({"logits": [[0.0]]}, "of two classes or more"),
    ],
)
def test_refused(given, said):
    """What can't be fitted is refused in one line."""
    with pytest.raises(UserError, match="temperature: expected") as raised:
        temperature([1], **given)
    assert said in str(raised.value)


def test_labels_that_are_none():
    """A label beyond the classes is refused, whatever their number."""
    with pytest.raises(UserError, match="labels from 0 to 1, found 0 to 2"):
        temperature([0, 2], logits=[0.0, 1.0])
    with pytest.raises(UserError, match="labels from 0 to 2, found 0 to 3"):
        temperature([0, 3], logits=np.zeros((2, 3)))


TEMPERATURES = st.floats(scaling.LOWEST, scaling.HIGHEST)
PROBABILITIES = st.one_of(
    st.floats(0, 1, width=32),
    st.sampled_from([0.0, 0.5, 1.0, *(float(np.nextafter(np.float32(0.5), np.float32(side))) for side in (0, 1))]),
)


@hypothesis.given(hypothesis.extra.numpy.arrays(np.float32, (4, 5), elements=PROBABILITIES), TEMPERATURES)
def test_two_classes_keep_their_segmentation(probability, chosen):
    """No temperature moves a voxel over 0.5, nor 0.5 itself; order is kept and [0, 1] holds all."""
    found = scaling.apply(probability, chosen)
    assert found.dtype == np.float32 and found.shape == probability.shape
    np.testing.assert_array_equal(found > 0.5, probability > 0.5)
    assert (found[probability == 0.5] == 0.5).all()
    assert found.min() >= 0 and found.max() <= 1
    order = np.argsort(probability, axis=None)
    assert (np.diff(found.reshape(-1)[order]) >= 0).all()


@hypothesis.given(
    hypothesis.extra.numpy.arrays(np.float32, (3, 7), elements=PROBABILITIES), TEMPERATURES, st.booleans()
)
def test_several_classes_keep_their_segmentation(weights, chosen, tied):
    """No temperature changes the class of the highest probability, ties to the lower class, and they add up to 1."""
    weights = weights + np.float32(1e-3)
    weights[2] = weights[1] if tied else np.nextafter(weights[1], np.float32(2))
    probability = (weights / weights.sum(axis=0)).astype(np.float32)
    found = scaling.apply_classes(probability, chosen)
    assert found.dtype == np.float32 and found.shape == probability.shape
    np.testing.assert_array_equal(found.argmax(axis=0), probability.argmax(axis=0))
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)


def test_applied_is_the_formula():
    """Of plain numbers it is sigmoid(logit / T) and softmax(log / T), in blocks as at once, and 1 changes nothing."""
    rng = np.random.default_rng(0)
    probability = rng.random(scaling.BLOCK + 10).astype(np.float32)
    logit = np.log(probability.astype(float)) - np.log1p(-probability.astype(float))
    np.testing.assert_allclose(scaling.apply(probability, 2.5), 1 / (1 + np.exp(-logit / 2.5)), rtol=1e-6)
    np.testing.assert_allclose(scaling.apply(probability, 1), probability, rtol=1e-6)
    both = np.stack([1 - probability, probability]).reshape(2, 2, -1)
    powers = both.astype(float) ** (1 / 2.5)
    np.testing.assert_allclose(scaling.apply_classes(both, 2.5), powers / powers.sum(axis=0), rtol=1e-6)


def test_clipped():
    """Probabilities of 0 and 1 count as 2^-24 and 1 - 2^-24, so they stay finite at any temperature."""
    found = scaling.apply(np.float32([0, 1]), 4)
    np.testing.assert_allclose(found, [1 / (1 + (2.0**24 - 1) ** 0.25), 1 / (1 + (2.0**24 - 1) ** -0.25)], rtol=1e-5)
