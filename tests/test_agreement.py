"""Agreement against scikit-learn, residuals, and the bounds of the literature."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, matthews_corrcoef

from barnlib.analyses.agreement import COEFFICIENTS, MEASURES, bounds, coefficients

RNG = np.random.default_rng
# Two question types, in each of which a and b are independent: a is good at one, b at the other.
APART = np.array([[14.0, 42, 2, 6, 0], [6, 2, 42, 14, 0]])  # accuracies 7/8 and 1/4, 1/8 and 3/4


def counted(before, after, strata) -> np.ndarray:
    """float64[1, strata, 5] by hand."""
    cells = [
        [
            sum(a == x and b == y for a, b, s in zip(before, after, strata, strict=True) if s == name)
            for x, y in ((1, 1), (1, 0), (0, 1), (0, 0))
        ]
        + [0]
        for name in sorted(set(strata))
    ]
    return np.array(cells, dtype=float)[None]


def test_types_alone_make_a_negative_correlation() -> None:
    found = {name: float(value[0]) for name, value in coefficients(APART[None]).items()}
    assert found["phi_pooled"] == pytest.approx(-0.375)
    assert found["phi_stratified"] == pytest.approx(0, abs=1e-12)
    assert found["kappa_stratified"] == pytest.approx(0, abs=1e-12)
    assert found["phi_between"] == pytest.approx(-0.375)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 10_000), st.integers(4, 120))
def test_coefficients_are_those_of_scikit_learn_and_of_residuals(seed: int, count: int) -> None:
    rng = RNG(seed)
    strata = rng.integers(0, 4, count)
    before, after = (rng.random(count) < rng.random(4)[strata] for _ in range(2))
    found = {name: float(v[0]) for name, v in coefficients(counted(before, after, strata)).items()}
    constant = len(set(before)) == 1 or len(set(after)) == 1
    assert np.isnan(found["phi_pooled"]) == constant
    if not constant:
        assert found["phi_pooled"] == pytest.approx(matthews_corrcoef(before, after))
        assert found["kappa_pooled"] == pytest.approx(cohen_kappa_score(before, after))
        assert found["phi_within"] + found["phi_between"] == pytest.approx(found["phi_pooled"])
    rest = pd.DataFrame({"a": before * 1.0, "b": after * 1.0})
    rest = rest - rest.groupby(strata).transform("mean")
    if (rest.abs().max() > 1e-9).all():
        assert found["phi_stratified"] == pytest.approx(np.corrcoef(rest["a"], rest["b"])[0, 1])
    else:
        assert np.isnan(found["phi_stratified"])
    assert found["oracle_gain"] == pytest.approx((before | after).mean() - max(before.mean(), after.mean()))


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 14), st.data())
def test_bounds_hold_every_table_of_these_accuracies_and_are_reached(count: int, data) -> None:
    a, b = data.draw(st.integers(1, count - 1)), data.draw(st.integers(1, count - 1))
    first = np.arange(count) < a
    seen = {name: [] for name in ("phi_pooled", "kappa_pooled")}
    for both in range(max(0, a + b - count), min(a, b) + 1):
        second = np.r_[np.arange(a) < both, np.arange(count - a) < b - both]
        found = coefficients(counted(first, second, [0] * count))
        for name, values in seen.items():
            values.append(float(found[name][0]))
    limits = bounds(counted(first, np.arange(count) < b, [0] * count)[0])
    for name, values in seen.items():
        assert limits[name] == pytest.approx((min(values), max(values)))
        assert limits[name.replace("pooled", "stratified")] == pytest.approx(limits[name])


def test_bounds_of_error_consistency_are_those_of_the_paper() -> None:
    """Geirhos et al. (2020), section 2: the observed agreement lies in |p + q - 1| to 1 - |p - q|."""
    p, q = 0.7, 0.6
    cells = np.array([[42.0, 28, 18, 12, 0]])
    expected = p * q + (1 - p) * (1 - q)
    low, high = ((seen - expected) / (1 - expected) for seen in (abs(p + q - 1), 1 - abs(p - q)))
    assert bounds(cells)["kappa_pooled"] == pytest.approx((low, high))


def test_resamples_are_measured_each_for_itself() -> None:
    drawn = np.stack([APART, APART[::-1] * 2, APART + 1])
    together = coefficients(drawn)
    assert set(together) == set(MEASURES)
    for number, one in enumerate(drawn):
        alone = coefficients(one[None])
        assert [together[name][number] for name in MEASURES] == pytest.approx(
            [alone[name][0] for name in MEASURES]
        )


def test_the_surer_answer_is_counted_against_the_better_side() -> None:
    cells = np.array(
        [[[3.0, 4, 1, 2, 6], [0, 0, 0, 0, 0]]]
    )  # a right on 7 of 10, the surer on 6; an empty stratum
    found = coefficients(cells)
    assert found["surer_gain"][0] == pytest.approx(-0.1) and found["oracle_gain"][0] == pytest.approx(0.1)


def test_a_side_that_is_all_right_has_no_correlation() -> None:
    perfect, known = np.array([[6.0, 4, 0, 0, 0]]), bounds(np.array([[6.0, 4, 0, 0, 0]]))
    found = coefficients(perfect[None])
    assert np.isnan([found[name][0] for name in ("phi_pooled", "phi_stratified", "phi_within")]).all()
    assert found["kappa_pooled"][0] == pytest.approx(0)  # they agree on six of ten, as chance has it
    assert np.isnan(known["phi_pooled"]).all() and known["kappa_pooled"] == pytest.approx((0, 0))
    both = coefficients(np.array([[[10.0, 0, 0, 0, 0]]]))
    assert np.isnan([both[name][0] for name in COEFFICIENTS]).all()
