"""Intervals of means over runs against the intervals of ratios, and their coverage of a known truth."""

import numpy as np
import pytest

from barnlib.analyses.intervals import ratio_interval
from barnlib.analyses.replicates import image_draws, mean_over_runs

RNG = np.random.default_rng


def test_draws_hold_one_image_fewer_than_there_are() -> None:
    draws = image_draws(RNG(0), 50, 7)
    assert draws.shape == (50, 7) and (draws.sum(1) == 6).all()
    assert (image_draws(RNG(0), 50, 1) == 1).all()
    with pytest.raises(ValueError, match="resamples must be 2 or more, not 1"):
        image_draws(RNG(0), 1, 7)


@pytest.mark.parametrize("runs", [1, 3])
def test_of_a_mean_it_is_the_interval_of_a_ratio(runs: int) -> None:
    """With one question on each image the mean over runs is a ratio of sums, which intervals.py covers."""
    rng = RNG(1)
    right = rng.normal(size=(1, 80)) + 0.3 * rng.normal(size=(runs, 1)) + rng.normal(size=(runs, 80))
    draws = image_draws(rng, 6000, 80)
    found = mean_over_runs(right.mean(1), draws @ right.T / 79, 80)
    expected = ratio_interval(right, np.ones_like(right), rng, resamples=6000)
    assert found.estimate == pytest.approx(expected.estimate)
    assert found.se == pytest.approx(expected.se, rel=0.06)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.04)


def test_what_does_not_exist_is_nan() -> None:
    assert np.isnan(mean_over_runs([np.nan, 1.0], np.ones((9, 2)), 5).estimate)
    assert np.isnan(mean_over_runs([], np.ones((9, 0)), 5).estimate)
    few = mean_over_runs([1.0], np.r_[np.full((6, 1), np.nan), np.ones((3, 1))], 5)
    assert few.estimate == 1.0 and np.isnan([few.low, few.high]).all()
    single = mean_over_runs([1.0], np.ones((9, 1)), 1)
    assert single.estimate == 1.0 and np.isnan([single.low, single.high]).all()
    with pytest.raises(ValueError, match=r"found \(2,\) and \(9, 3\)"):
        mean_over_runs([1.0, 2.0], np.ones((9, 3)), 5)


def test_an_interval_is_cut_to_the_range() -> None:
    found = mean_over_runs([0.01], RNG(2).normal(0.01, 0.1, (100, 1)), 50, bounds=(0.0, 1.0))
    assert found.low == 0.0 and 0.1 < found.high < 0.3
