"""Jackknife intervals: those of textbooks where textbooks have one, and coverage where the truth is simulated."""

import numpy as np
import pytest
from scipy import stats

from barnlib.analyses.intervals import ratio_interval
from barnlib.analyses.jackknife import combined, estimated, jackknifed, mean
from barnlib.analyses.representations import cka, displacement, gram

NAMES = [str(n) for n in range(200)]


def of_means(values: np.ndarray):
    left = (values.sum(1, keepdims=True) - values) / (values.shape[1] - 1)
    return jackknifed(values.mean(1), left, NAMES[: values.shape[1]])


def test_of_one_run_mean_it_is_students_t():
    values = np.random.default_rng(0).normal(0.3, 1, 40)
    found, expected = estimated(of_means(values[None])), stats.ttest_1samp(values, 0)
    assert found.se == pytest.approx(stats.sem(values))
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_over_runs_it_is_the_bootstrap_of_the_other_module():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(1, 60)) + rng.normal(0, 0.1, (4, 1)) + rng.normal(0, 0.5, (4, 60))
    found = estimated(of_means(values))
    expected = ratio_interval(values, np.ones_like(values), rng, resamples=40_000)
    assert found.estimate == pytest.approx(expected.estimate)
    assert found.se == pytest.approx(expected.se, rel=0.1)


def covers(draw, truth, times=300):
    hits, sure = 0, 0
    for number in range(times):
        found = estimated(draw(np.random.default_rng([9, number])))
        hits += found.low <= truth <= found.high
        sure += found.p < 0.05
    return hits / times, sure / times


@pytest.mark.parametrize("runs", [1, 3])
def test_intervals_of_an_alignment_cover_the_known_truth(runs):
    """x = z, y = 0.7 z + noise: the population's alignment is |0.7 I|² / (|I| |I|) = 0.49."""

    def draw(rng):
        z = rng.normal(size=(60, 4))
        made = [cka(gram(z), gram(0.7 * z + np.sqrt(0.51) * rng.normal(size=(60, 4)))) for _ in range(runs)]
        return jackknifed([value for value, _ in made], np.stack([left for _, left in made]), NAMES[:60])

    assert 0.91 <= covers(draw, 0.49)[0] <= 1.0


def test_a_bootstrap_of_an_alignment_is_biased_upwards_and_the_jackknife_is_not():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 40, 64))
    whole = cka(gram(x), gram(y))[0]
    resampled = []
    for _ in range(200):
        rows = rng.integers(40, size=40)
        resampled.append(cka(gram(x[rows]), gram(y[rows]))[0])
    left = cka(gram(x), gram(y))[1]
    assert np.mean(resampled) > whole + 0.3
    assert left.mean() == pytest.approx(whole, abs=0.01)


@pytest.mark.parametrize("runs", [1, 3])
def test_intervals_of_a_displacement_cover_the_known_truth(runs):
    """States N(0, I), noise of variance s²: own distance s² d, that to another (2 + s²) d."""
    s2 = 0.3

    def draw(rng):
        z = rng.normal(size=(60, 8))
        made = [displacement(z, z + np.sqrt(s2) * rng.normal(size=z.shape)) for _ in range(runs)]
        return jackknifed([value for value, _ in made], np.stack([left for _, left in made]), NAMES[:60])

    assert 0.91 <= covers(draw, s2 / (2 + s2))[0] <= 1.0


@pytest.mark.parametrize("runs", [1, 3])
def test_the_test_of_a_difference_holds_its_level(runs):
    """Two backbones that are moved alike, paired on the same pictures, with chance of every run's own."""

    def draw(rng):
        both = []
        for _ in range(2):
            made = []
            for _ in range(runs):
                z = rng.normal(size=(50, 8))
                strength = np.exp(rng.normal(-1, 0.1 if runs > 1 else 0))
                made.append(displacement(z, z + strength * rng.normal(size=z.shape)))
            both.append(jackknifed([v for v, _ in made], np.stack([left for _, left in made]), NAMES[:50]))
        return combined(both, [1, -1])

    coverage, sure = covers(draw, 0.0)
    assert sure <= 0.08 and coverage == pytest.approx(1 - sure)


def test_what_two_parts_say_about_a_picture_stays_together():
    values = np.random.default_rng(5).normal(size=(2, 30))
    same = of_means(values)
    assert estimated(combined([same, same], [1, -1])).p == 1.0
    twice = estimated(mean([same, same]))
    assert (twice.se, twice.pictures) == (pytest.approx(estimated(same).se), 30)
    other = jackknifed(same.values, values, [f"other {n}" for n in range(30)])
    assert estimated(mean([same, other])).pictures == 60


def test_intervals_stay_within_bounds_but_hold_the_estimate():
    left = np.random.default_rng(0).normal(0.99, 0.5, (1, 10))
    found = estimated(jackknifed([0.99], left, NAMES[:10], (0.0, 1.0)))
    assert (found.low, found.high) == (0.0, 1.0)
    beyond = estimated(jackknifed([1.02], left, NAMES[:10], (0.0, 1.0)))
    assert beyond.high == 1.02


def test_where_there_is_nothing_there_is_no_interval():
    nothing = estimated(jackknifed([0.5], np.array([[np.nan]]), NAMES[:1]))
    assert nothing.estimate == 0.5 and np.isnan([nothing.low, nothing.high, nothing.p]).all()
    assert np.isnan(estimated(jackknifed([np.nan], np.ones((1, 5)), NAMES[:5])).estimate)
    assert np.isnan(estimated(jackknifed([], np.ones((0, 5)), NAMES[:5])).estimate)
    even = estimated(jackknifed([0.2, 0.2], np.full((2, 5), 0.2), NAMES[:5]))
    assert (even.low, even.high, even.p) == (pytest.approx(0.2), pytest.approx(0.2), 0.0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"left_out has shape \(2, 3\); expected \(1, 3\)"):
        jackknifed([1.0], np.ones((2, 3)), NAMES[:3])
    with pytest.raises(ValueError, match="named twice"):
        jackknifed([1.0], np.ones((1, 2)), ["a", "a"])
    with pytest.raises(ValueError, match=r"equally many runs, found \[1, 2\]"):
        combined([of_means(np.ones((1, 4))), of_means(np.ones((2, 4)))], [1, 1])
    with pytest.raises(ValueError, match="found none"):
        mean([])
