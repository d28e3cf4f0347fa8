"""Calibration measures against scikit-learn, sums written out, and closed forms."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from barnlib.analyses.calibration import MEASURES, equal_mass_bins, measures, risk_path

RNG = np.random.default_rng


def one(confidence, correct, **more) -> dict[str, float]:
    return {name: float(value[0]) for name, value in measures(confidence, correct, **more).items()}


def test_ranking_and_squares_are_those_of_scikit_learn() -> None:
    rng = RNG(0)
    said, right = rng.integers(0, 12, 500) / 11, rng.random(500) < 0.4
    weights = rng.integers(0, 4, (6, 500)).astype(float)
    found = measures(said, right, weights)
    for k, weight in enumerate(weights):
        assert found["auroc"][k] == pytest.approx(roc_auc_score(right, said, sample_weight=weight))
        assert found["brier"][k] == pytest.approx(brier_score_loss(right, said, sample_weight=weight))
        assert found["accuracy"][k] == pytest.approx(np.average(right, weights=weight))


def test_calibration_error_is_the_sum_over_bins() -> None:
    rng = RNG(1)
    said = rng.random(300)
    right = rng.random(300) < said**2
    bins = pd.DataFrame({"said": said, "right": right, "bin": pd.qcut(said, 15, labels=False)}).groupby("bin")
    gaps = (bins["said"].mean() - bins["right"].mean()).abs()
    assert bins.size().eq(20).all()
    assert one(said, right)["ece"] == pytest.approx(gaps.mean())
    expected = np.mean((bins["said"].mean() - bins["right"].mean()) ** 2 - bins["right"].var(ddof=1) / 20)
    assert one(said, right)["squared_error"] == pytest.approx(expected)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 200), st.sampled_from([2, 11, 10**6]))
def test_the_parts_of_the_brier_score_add_up(seed: int, count: int, levels: int) -> None:
    rng = RNG(seed)
    said, right = rng.integers(0, levels + 1, count) / levels, rng.random(count) < 0.5
    weights = rng.integers(0, 3, (3, count)) + (np.arange(count) == 0)
    found = measures(said, right, weights)
    whole = found["reliability"] - found["resolution"] + found["uncertainty"] + found["within"]
    assert whole == pytest.approx(found["brier"], abs=1e-12)
    assert set(found) == set(MEASURES)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 80))
def test_the_order_of_rows_plays_no_part_and_repeating_a_row_is_its_weight(seed: int, count: int) -> None:
    rng = RNG(seed)
    said, right = rng.integers(0, 6, count) / 5, rng.random(count) < 0.5
    order, times = rng.permutation(count), rng.integers(1, 4, count)
    plain, shuffled = one(said, right), one(said[order], right[order])
    assert list(plain.values()) == pytest.approx(list(shuffled.values()), nan_ok=True)
    weighted = one(said, right, weights=times[None])
    repeated = one(np.repeat(said, times), np.repeat(right, times))
    for name in ("brier", "auroc", "aurc", "accuracy"):  # those without bins
        assert weighted[name] == pytest.approx(repeated[name], nan_ok=True)


def test_the_area_under_risk_has_closed_forms() -> None:
    right = np.r_[np.ones(70, bool), np.zeros(30, bool)]
    constant, perfect = one(np.full(100, 0.5), right), one(np.linspace(1, 0, 100), right)
    assert constant["aurc"] == pytest.approx(0.3) and constant["auroc"] == 0.5
    assert perfect["aurc"] == pytest.approx(0.3 + 0.7 * np.log(0.7))
    assert perfect["excess_aurc"] == pytest.approx(0, abs=1e-12) and perfect["auroc"] == 1.0
    rng = RNG(2)
    said, hit = rng.random(4000), rng.random(4000) < 0.6
    order = np.argsort(-said)
    by_hand = np.mean(np.cumsum(~hit[order]) / np.arange(1, 4001))
    assert one(said, hit)["aurc"] == pytest.approx(by_hand, abs=2e-3)


def test_all_right_and_all_wrong_have_no_ranking() -> None:
    for right in (np.ones(30, bool), np.zeros(30, bool)):
        found = one(np.linspace(0.1, 0.9, 30), right)
        assert np.isnan(found["auroc"])
        assert found["excess_aurc"] == pytest.approx(0)
        assert found["ece"] == pytest.approx(0.5) and found["uncertainty"] == 0
    assert all(np.isnan(value[0]) for value in measures([], []).values())


def test_bins_hold_equal_numbers_and_keep_equal_confidences_together() -> None:
    assert np.bincount(equal_mass_bins(RNG(3).random(300))).tolist() == [20] * 15
    tied = equal_mass_bins([0.1] * 40 + [0.9] * 60)
    assert len(set(tied[:40])) == 1 and len(set(tied[40:])) == 1 and tied[0] != tied[-1]
    assert equal_mass_bins([0.3] * 9).tolist() == [0] * 9
    assert len(equal_mass_bins([])) == 0


def test_the_unbiased_error_is_unbiased_and_the_plain_one_is_not() -> None:
    rng = RNG(5)
    found = {"ece": [], "squared_error": []}
    shifted = []
    for _ in range(400):
        said = rng.uniform(0.1, 0.9, 300)
        calibrated = one(said, rng.random(300) < said)
        for name, values in found.items():
            values.append(calibrated[name])
        shifted.append(one(said * 0.7, rng.random(300) < said)["squared_error"])
    assert np.mean(found["squared_error"]) == pytest.approx(0, abs=4e-4)
    assert np.mean(found["ece"]) > 0.06
    assert np.mean(shifted) == pytest.approx(np.mean((0.3 * rng.uniform(0.1, 0.9, 10**5)) ** 2), rel=0.05)


def test_answers_of_equal_confidence_are_taken_together() -> None:
    taken, errors = risk_path(
        np.array([0.2, 0.9, 0.5, 0.5]), np.array([0.0, 1, 0, 1]), np.array([[1.0, 1, 1, 1], [2, 0, 3, 1]])
    )
    assert taken.tolist() == [[1, 3, 4], [0, 4, 6]]
    assert errors.tolist() == [[0, 1, 2], [0, 3, 5]]


def test_what_is_no_confidence_is_refused() -> None:
    with pytest.raises(ValueError, match="a confidence must lie in 0 to 1; 1 of 2 do not"):
        measures([0.5, 1.2], [True, False])
    with pytest.raises(ValueError, match="a confidence must lie in 0 to 1; 1 of 2 do not"):
        measures([0.5, np.nan], [True, False])
    with pytest.raises(ValueError, match=r"expected confidence and correct \[n\], found \(2,\) and \(1,\)"):
        measures([0.5, 0.2], [True])
