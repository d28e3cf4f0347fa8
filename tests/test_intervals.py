"""Intervals against statsmodels' cluster-robust errors, and their coverage where the truth is known."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from barnlib.analyses.intervals import (
    median_interval,
    proportion_interval,
    ratio,
    ratio_interval,
    resampled_variance,
    student_interval,
)


def simulate(
    rng, *, runs: int, images: int, image_sd: float, run_sd: float, questions: int = 1, mean: float = 0.0
):
    """Probit answers with crossed image and run effects: right[runs, images], asked likewise, the true mean."""
    latent = mean + image_sd * rng.standard_normal((1, images)) + run_sd * rng.standard_normal((runs, 1))
    right = rng.binomial(questions, stats.norm.cdf(latent)).astype(float)
    truth = stats.norm.cdf(mean / np.sqrt(1 + image_sd**2 + run_sd**2))
    return right, np.full(right.shape, float(questions)), truth


@pytest.mark.parametrize("interval", [ratio_interval, proportion_interval])
def test_a_seed_gives_the_same_interval_wherever_it_is_computed(interval) -> None:
    right, asked, _ = simulate(np.random.default_rng(1), runs=3, images=40, image_sd=1.0, run_sd=0.2)
    assert interval(right, asked, 7) == interval(right, asked, 7)
    assert interval(right, asked, 7) != interval(right, asked, 8)


def test_the_median_draws_runs_and_images_apart_from_a_seed() -> None:
    runs, images = np.indices((6, 6))
    values = runs.ravel() * 10.0 + images.ravel()
    where = values, runs.ravel(), images.ravel()
    of_seed, of_generator = (median_interval(*where, rng) for rng in (7, np.random.default_rng(7)))
    assert (of_seed.low, of_seed.high) == (of_generator.low, of_generator.high)


def test_one_run_agrees_with_cluster_robust_errors() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 9, 150)
    effect = rng.standard_normal(150)
    image = np.repeat(np.arange(150), counts)
    value = (effect[image] + rng.standard_normal(len(image)) > 0).astype(float)
    fit = sm.OLS(value, np.ones(len(value))).fit(cov_type="cluster", cov_kwds={"groups": image})
    sums = np.bincount(image, weights=value)[None]
    interval = ratio_interval(sums, counts[None].astype(float), rng, resamples=5_000)
    assert interval.estimate == pytest.approx(fit.params[0])
    assert interval.se == pytest.approx(fit.bse[0], rel=0.05)
    half = stats.t.ppf(0.975, 149) * interval.se
    assert (interval.low, interval.high) == pytest.approx(
        (interval.estimate - half, interval.estimate + half)
    )


def test_several_runs_agree_with_two_way_cluster_robust_errors() -> None:
    rng = np.random.default_rng(1)
    right, asked, _ = simulate(rng, runs=12, images=60, image_sd=1.0, run_sd=0.6)
    runs, images = np.indices(right.shape)
    groups = np.column_stack([runs.ravel(), images.ravel()])
    fit = sm.OLS(right.ravel(), np.ones(right.size)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    interval = ratio_interval(right, asked, rng, resamples=5_000)
    assert interval.se == pytest.approx(fit.bse[0], rel=0.05)


def test_three_runs_are_never_trusted_more_than_their_means() -> None:
    rng = np.random.default_rng(2)
    right, asked, _ = simulate(rng, runs=3, images=200, image_sd=0.1, run_sd=1.0)
    interval = ratio_interval(right, asked, rng, resamples=5_000)
    means = right.mean(1)
    half = stats.t.ppf(0.975, 2) * stats.sem(means)
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.05)


def test_a_ratio_of_sums_weighs_images_by_what_they_hold() -> None:
    interval = ratio_interval([[3.0, 0.0, 0.0]], [[3.0, 1.0, 0.0]], np.random.default_rng(0))
    assert interval.estimate == 0.75


def test_empty_cells_runs_and_images_are_ignored() -> None:
    rng = np.random.default_rng(3)
    right, asked, _ = simulate(rng, runs=2, images=40, image_sd=1.0, run_sd=0.2)
    wider = [np.pad(array, ((0, 1), (0, 5))) for array in (right, asked)]
    plain = ratio_interval(right, asked, np.random.default_rng(0))
    assert ratio_interval(*wider, np.random.default_rng(0)) == plain


def test_effects_of_runs_and_images_alone_add_up() -> None:
    """Nothing is left beside them that both variances would hold, so nothing is taken off."""
    rng = np.random.default_rng(5)
    runs, images = rng.normal(size=(4, 1)), rng.normal(size=(1, 60))
    interval = ratio_interval(runs + images, np.ones((4, 60)), 0, resamples=20_000)
    assert interval.se**2 == pytest.approx(runs.var(ddof=1) / 4 + images.var(ddof=1) / 60, rel=0.03)


def test_a_standard_error_over_a_few_runs_is_exact_and_not_drawn() -> None:
    right, asked, _ = simulate(np.random.default_rng(6), runs=3, images=50, image_sd=1.0, run_sd=0.5)
    of_runs = right.mean(1)
    for seed in range(3):
        assert ratio_interval(right, asked, seed).se_runs == pytest.approx(of_runs.std(ddof=1) / np.sqrt(3))
    assert np.isnan(ratio_interval(right[:1], asked[:1], 0).se_runs)


@pytest.mark.parametrize("wrong", [1, 3, 30])
def test_a_share_of_independent_answers_is_clopper_pearson(wrong: int) -> None:
    right = np.ones((1, 150))
    right[0, :wrong] = 0
    interval = proportion_interval(right, np.ones((1, 150)), 0, resamples=20_000)
    low, high = proportion_confint(150 - wrong, 150, method="beta")
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.004)


def test_graded_scores_have_their_own_width() -> None:
    """Far from 0 and 1 the interval is that of the mean, narrower than of as many answers right or wrong."""
    scores = np.random.default_rng(9).uniform(0.5, 0.8, (3, 150))
    share, mean = (
        interval(scores, np.ones((3, 150)), 0) for interval in (proportion_interval, ratio_interval)
    )
    assert (share.low, share.high) == pytest.approx((mean.low, mean.high), abs=0.002)


def test_graded_scores_that_are_all_the_same_count_once_an_image() -> None:
    interval = proportion_interval(np.full((3, 20), 1 / 3), np.ones((3, 20)), 0)
    low, high = proportion_confint(20 / 3, 20, method="beta")
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_one_error_does_not_make_a_share_surer() -> None:
    right = np.ones((3, 150))
    sure = proportion_interval(right, np.ones((3, 150)), 0)
    right[0, 0] = 0
    assert proportion_interval(right, np.ones((3, 150)), 0).low < sure.low


def test_the_same_seed_gives_the_same_interval() -> None:
    right, asked, _ = simulate(np.random.default_rng(4), runs=3, images=50, image_sd=1.0, run_sd=0.3)
    first, second = (proportion_interval(right, asked, np.random.default_rng(7)) for _ in range(2))
    assert first == second


def test_all_right_is_clopper_pearson_over_images() -> None:
    interval = proportion_interval(np.ones((3, 20)), np.ones((3, 20)), np.random.default_rng(0))
    assert (interval.estimate, interval.high) == (1.0, 1.0)
    assert interval.low == pytest.approx(0.025 ** (1 / 20))
    wrong = proportion_interval(np.zeros((3, 20)), np.ones((3, 20)), np.random.default_rng(0))
    assert (wrong.estimate, wrong.low) == (0.0, 0.0)
    assert wrong.high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_nothing_to_measure_is_nan() -> None:
    rng = np.random.default_rng(0)
    assert np.isnan(list(vars(ratio_interval(np.zeros((2, 3)), np.zeros((2, 3)), rng)).values())).all()
    one = ratio_interval([[1.0], [0.0]], [[1.0], [1.0]], rng)
    assert one.estimate == 0.5 and np.isnan([one.low, one.high]).all()
    assert np.isnan(median_interval([], [], [], rng).estimate)


def test_bad_input_is_named() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"found \(2,\) and \(2,\)"):
        ratio_interval([1, 2], [1, 2], rng)
    with pytest.raises(ValueError, match="must be finite"):
        ratio_interval([[np.nan]], [[1.0]], rng)
    with pytest.raises(ValueError, match="resamples must be 2 or more, not 1"):
        ratio_interval([[1.0]], [[1.0]], rng, resamples=1)
    with pytest.raises(ValueError, match="values hold NaN"):
        median_interval([np.nan], [0], [0], rng)
    with pytest.raises(ValueError, match="lengths differ"):
        median_interval([1.0], [0, 1], [0], rng)


def test_the_wider_of_two_of_students() -> None:
    together = student_interval(0.5, 0.04, 0.01, 0.004, 20, 3)
    half = stats.t.ppf(0.975, 19) * np.sqrt(
        0.04 + 0.01 - 0.004
    )  # over seeds alone: 4.30 * 0.1, less than 0.449
    assert together.se == pytest.approx(np.sqrt(0.046))
    assert (together.low, together.high) == pytest.approx((0.5 - half, 0.5 + half))
    alone = student_interval(0.5, 0.0001, 0.01, 0.0, 20, 3)
    assert alone.high - 0.5 == pytest.approx(stats.t.ppf(0.975, 2) * 0.1)
    shared = student_interval(0.5, 0.04, 0.01, 0.02, 20, 3)  # no more is taken off than there is
    assert shared.se == pytest.approx(0.2)


def test_of_one_run_the_interval_is_that_of_other_images() -> None:
    found = student_interval(0.5, 0.04, float("nan"), float("nan"), 20, 1, level=0.9)
    half = stats.t.ppf(0.95, 19) * 0.2
    assert (found.se, found.low, found.high) == pytest.approx((0.2, 0.5 - half, 0.5 + half))
    one_image = student_interval(0.5, 0.04, 0.01, 0.0, 1, 3)
    unknown = student_interval(0.5, float("nan"), 0.01, 0.0, 20, 3)
    assert np.isnan([one_image.low, one_image.high, unknown.low, unknown.high, unknown.se]).all()


def test_an_interval_is_cut_to_its_range_but_holds_the_estimate() -> None:
    inside = student_interval(0.9, 0.04, 0.0, 0.0, 20, 1, bounds=(0.0, 1.0))
    assert inside.high == 1.0 and inside.low > 0.4
    beyond = student_interval(1.1, 0.04, 0.0, 0.0, 20, 1, bounds=(0.0, 1.0))
    assert beyond.high == 1.1 and beyond.low < 1.0
    below = student_interval(-0.1, 0.04, 0.0, 0.0, 20, 1, bounds=(0.0, 1.0))
    assert below.low == -0.1 and below.high > 0.0


def test_the_variance_of_a_sum_and_of_a_product_of_sums() -> None:
    """Of a mean the bootstrap with one draw fewer is unbiased; of a function of sums it follows the delta method."""
    rng = np.random.default_rng(9)
    values = rng.normal(3, 1, (400, 2))
    mean = resampled_variance(
        np.column_stack([values[:, 0], np.ones(400)]), ratio, np.random.default_rng(0), 20_000
    )
    assert mean == pytest.approx(values[:, 0].var(ddof=1) / 400, rel=0.04)
    sums = np.column_stack([values, np.ones(400)])
    product = resampled_variance(
        sums, lambda s: s[:, 0] * s[:, 1] / s[:, 2] ** 2, np.random.default_rng(0), 20_000
    )
    slope = values.mean(0)[::-1]
    assert product == pytest.approx(slope @ np.cov(values.T) @ slope / 400, rel=0.04)
    assert np.isnan(resampled_variance(sums[:1], ratio, np.random.default_rng(0), 10))


def test_the_median_agrees_with_numpy_and_with_resampling_by_hand() -> None:
    rng = np.random.default_rng(5)
    values = rng.exponential(500, (3, 61))
    runs, images = np.indices(values.shape)
    interval = median_interval(values.ravel(), runs.ravel(), images.ravel(), rng, resamples=2000)
    assert interval.estimate == np.median(values)
    by_hand = [np.median(values[rng.integers(3, size=3)][:, rng.integers(61, size=61)]) for _ in range(2000)]
    assert (interval.low, interval.high) == pytest.approx(np.quantile(by_hand, [0.025, 0.975]), rel=0.06)


def test_a_median_of_failures_is_infinite() -> None:
    rng = np.random.default_rng(6)
    values = np.r_[np.full(30, np.inf), np.full(20, 100.0)]
    interval = median_interval(values, np.zeros(50), np.arange(50), rng)
    assert interval.estimate == np.inf and interval.high == np.inf


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runs", "images", "image_sd", "run_sd", "questions"),
    [
        (3, 300, 1.0, 0.1, 1),
        (3, 100, 1.0, 0.3, 1),
        (3, 300, 0.5, 0.1, 8),
        (3, 200, 1.0, 1.0, 1),
        (5, 100, 1.0, 0.1, 1),
        (1, 200, 1.0, 0.0, 4),
        (3, 100, 0.0, 0.0, 1),
    ],
)
def test_intervals_cover_the_truth(
    runs: int, images: int, image_sd: float, run_sd: float, questions: int
) -> None:
    rng = np.random.default_rng(8)
    covered = []
    for _ in range(500):
        right, asked, truth = simulate(
            rng, runs=runs, images=images, image_sd=image_sd, run_sd=run_sd, questions=questions
        )
        interval = proportion_interval(right, asked, rng, resamples=200)
        covered.append(interval.low <= truth <= interval.high)
    assert 0.92 <= np.mean(covered) <= 0.997  # nominal 0.95; its own standard error is 0.01
