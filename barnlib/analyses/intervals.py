"""Intervals for quantities that are measured on images and repeated over seeds.

In:  one number per run (seed) and image, or per answer; or an estimate and its variances over images and over runs.
Out: an estimate with an interval, for the modules that make tables: metrics.py, coordinates.py, instances.py and others.

| what the estimate is | its variance over images | its interval |
| --- | --- | --- |
| a ratio of two sums: a mean, a share, a recall, a paired difference of means | bootstrap | :func:`ratio_interval`, :func:`proportion_interval` |
| another function of sums: BLEU, the gain on one task less that on another | bootstrap | :func:`resampled_variance`, :func:`student_interval` |
| a mean over runs of each run's statistic: a calibration error | bootstrap, the same images for every run | `mean_over_runs` (replicates.py) |
| a mean over pairs of runs: phi | the same; over seeds the jackknife | `agreement_table` (agreement_tables.py) |
| a statistic of pairs of pictures: CKA, a displacement | jackknife, since a resample holds pictures twice | `estimated` (jackknife.py) |
| a median, maybe infinite: it has no standard error | percentiles of resampled images and runs | :func:`median_interval` |
| a share of variance: bounded, skewed, often 0 | percentiles of resampled images | `variance_table` (variance.py) |

All but the last two end in :func:`student_interval`, which puts the parts together, and a share's errors then in Korn
and Graubard's interval, which stays right near 0 and 1.

Answers to questions on one image are not independent, and neither are the answers of one trained run:
images and seeds are two crossed levels of clusters. Both are resampled, each with one draw fewer than there
are clusters, which keeps the variance of a mean unbiased even with three seeds (Rao & Wu 1988, JASA
83:231). What is left of one run on one image beside the effects of both is in both variances and is taken off once
(McCullagh 2000, Bernoulli 6:285; Owen 2007, Ann. Appl. Stat. 1:386).

Percentiles of resampled means cannot reach the nominal coverage with three seeds: they never leave the
range of the three. So the bootstrap gives standard errors, and the interval is the wider of two: Student's
with images and runs together, and Student's across runs alone (two degrees of freedom with three seeds). In
simulation it covers 92 to 99 % at a nominal 95 (tests/test_intervals.py).
"""  # noqa: E501

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Required, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

Array = NDArray[np.float64]
ROUNDING = 1e-9  # a standard error below it is the rounding of numbers that are all the same
Rng = int | np.random.Generator  # a seed begins anew at each call (as in SciPy; Scientific Python's SPEC 7)


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval; NaN where there is none.

    Attributes:
        se: standard error over images and runs together.
        se_runs: standard error over runs alone; NaN where there is one run, or none that varies.
    """

    estimate: float
    se: float
    se_runs: float
    low: float
    high: float


NOTHING = Interval(*[float("nan")] * 5)


class Resampling(TypedDict, total=False):
    """How the functions that make tables of intervals resample: their keywords, handed on to the intervals as they are.

    Attributes:
        rng: draws the resamples; from a seed, the same quantity has the same interval wherever it is computed.
        resamples, level: as in :func:`ratio_interval`, which has the defaults.
    """

    rng: Required[Rng]
    resamples: int
    level: float


def ratio_interval(
    numerators: ArrayLike,
    denominators: ArrayLike,
    rng: Rng,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """A ratio of two sums over runs and images: a mean (sum over count), a precision, a recall, an F1.

    With one run the interval speaks of other images only; with one image there is none (NaN).

    Args:
        numerators: float64[runs, images].
        denominators: float64[runs, images], not negative; 0 where a run has nothing on an image.
        rng: draws the resamples.
        resamples: number of resamples of images, and of runs.
        level: nominal coverage.
        bounds: the quantity's range, to which the interval is cut.

    Raises:
        ValueError: shapes that differ, values that are not finite, or fewer than two resamples.
    """
    upper, lower = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if upper.shape != lower.shape or upper.ndim != 2:
        raise ValueError(
            f"expected two arrays [runs, images] of one shape, found {upper.shape} and {lower.shape}"
        )
    if not (np.isfinite(upper).all() and np.isfinite(lower).all() and (lower >= 0).all()):
        raise ValueError("numerators must be finite, denominators finite and not negative")
    if resamples < 2:
        raise ValueError(f"resamples must be 2 or more, not {resamples}")
    upper, lower = (array[lower.sum(1) > 0][:, lower.sum(0) > 0] for array in (upper, lower))
    if not lower.size:
        return NOTHING
    estimate = upper.sum() / lower.sum()
    runs, images = upper.shape
    by_image, by_run = (
        resampled_variance(np.stack([upper.sum(axis), lower.sum(axis)], axis=1), ratio, rng, resamples)
        for axis in (0, 1)
    )
    cell = _cell_variance((upper - estimate * lower) / lower.sum())
    return student_interval(estimate, by_image, by_run, cell, images, runs, level=level, bounds=bounds)


def proportion_interval(
    numerators: ArrayLike,
    denominators: ArrayLike,
    rng: Rng,
    *,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """`ratio_interval` for a share between 0 and 1, near whose ends no interval of equal sides is right.

    The interval is Clopper and Pearson's for as many trials as would give the standard errors of `ratio_interval`,
    the larger of the two at its degrees of freedom (Korn & Graubard 1998, Survey Methodology 24:193); graded scores
    vary less than right and wrong, and count as more trials than there are. Where all are the same, as 0 or 1,
    resampling sees no uncertainty; there it is one trial per image, as if the answers on one image always agreed.
    """
    interval = ratio_interval(
        numerators, denominators, rng, resamples=resamples, level=level, bounds=(0.0, 1.0)
    )
    share, asked = interval.estimate, np.asarray(denominators, dtype=np.float64)
    if np.isnan(interval.se):
        return interval
    images = int((asked.sum(0) > 0).sum())
    sides = [(interval.se, images - 1), (interval.se_runs, int((asked.sum(1) > 0).sum()) - 1)]
    errors = [stats.t.ppf(0.5 + level / 2, freedom) * se for se, freedom in sides if not np.isnan(se)]
    widest = max(errors) / stats.norm.ppf(0.5 + level / 2)
    trials = share * (1 - share) / widest**2 if widest > ROUNDING else float(images)
    low, high = proportion_confint(share * trials, trials, alpha=1 - level, method="beta")
    return replace(interval, low=float(low), high=float(high))


def median_interval(
    values: ArrayLike,
    runs: ArrayLike,
    images: ArrayLike,
    rng: Rng,
    *,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """The median of values that may be infinite (an answer that could not be read is infinitely far off).

    Runs and images are resampled together, as many as there are, and the interval holds the middle of the
    resampled medians: with three runs it is only as good as three runs can make it. `se` is NaN.

    Args:
        values: float64[answers], no NaN.
        runs, images: [answers], the run and the image of each answer, any labels.

    Raises:
        ValueError: lengths that differ, or a NaN.
    """
    value = np.asarray(values, dtype=np.float64)
    run_names, run_of = np.unique(np.asarray(runs), return_inverse=True)
    image_names, image_of = np.unique(np.asarray(images), return_inverse=True)
    if not len(value) == len(run_of) == len(image_of):
        raise ValueError(f"lengths differ: {len(value)} values, {len(run_of)} runs, {len(image_of)} images")
    if np.isnan(value).any():
        raise ValueError("values hold NaN; give an answer without a value as infinity")
    if not len(value):
        return NOTHING
    rng = np.random.default_rng(rng)
    order = np.argsort(value, kind="stable")
    value, run_of, image_of = value[order], run_of[order], image_of[order]
    chunk = max(1, 4_000_000 // len(value))
    medians = np.concatenate(
        [
            _weighted_medians(
                value,
                _draw_counts(rng, size, len(run_names))[:, run_of]
                * _draw_counts(rng, size, len(image_names))[:, image_of],
            )
            for size in np.diff([*range(0, resamples, chunk), resamples])
        ]
    )
    low, high = np.quantile(medians, [0.5 - level / 2, 0.5 + level / 2], method="nearest")
    estimate = _weighted_medians(value, np.ones((1, len(value))))[0]
    return replace(NOTHING, estimate=float(estimate), low=float(low), high=float(high))


def student_interval(
    estimate: float,
    by_image: float,
    by_run: float,
    cell: float,
    images: int,
    runs: int,
    *,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """The wider of two intervals: Student's with images and runs together, and Student's across runs alone.

    With one run the interval speaks of other images only; with one image there is none (NaN).

    Args:
        by_image: variance of the estimate over images; where it is NaN, so are the interval and its standard error.
        by_run: variance over runs; of no account where there is a single one.
        cell: what belongs to one run on one image, which both hold; 0 where it is not known, and then the interval errs
            on the wide side.
        images, runs: how many there are, for the degrees of freedom.
        level: nominal coverage.
        bounds: the quantity's range, to which the interval is cut; an estimate beyond it stays inside its interval.
    """
    variance, half, se_runs = by_image, float("nan"), float("nan")
    if runs > 1:
        variance += max(by_run - cell, 0.0)
        se_runs = float(np.sqrt(by_run))
    if images > 1:
        half = stats.t.ppf(0.5 + level / 2, images - 1) * np.sqrt(variance)
    if runs > 1:
        half = np.maximum(half, stats.t.ppf(0.5 + level / 2, runs - 1) * se_runs)
    ends = min(estimate, bounds[0]), max(estimate, bounds[1])
    low, high = (float(np.clip(estimate + side * half, *ends)) for side in (-1, 1))
    return Interval(float(estimate), float(np.sqrt(variance)), se_runs, low, high)


def resampled_variance(sums: Array, statistic: Callable[[Array], Array], rng: Rng, resamples: int) -> float:
    """Variance of a statistic of sums over resamples of n - 1 of n clusters; NaN for one cluster.

    Where there are no more than ``resamples`` of them, as of a few runs, each is taken once and none is drawn.

    Args:
        sums: float64[clusters, columns], what each cluster adds.
        statistic: makes float64[resamples] of sums over clusters, float64[resamples, columns].
    """
    clusters = len(sums)
    if clusters < 2:
        return float("nan")
    every = clusters ** (clusters - 1) <= resamples
    if every:
        chosen = np.indices((clusters,) * (clusters - 1)).reshape(clusters - 1, -1).T
    else:
        chosen = np.random.default_rng(rng).integers(clusters, size=(resamples, clusters - 1), dtype=np.int32)
    totals = np.stack([column[chosen].sum(1) for column in sums.T], axis=1)
    return float(np.var(statistic(totals), ddof=0 if every else 1))


def ratio(sums: Array) -> Array:
    """The first of two columns over the second: float64[n, 2] -> float64[n]."""
    return sums[:, 0] / sums[:, 1]


def _cell_variance(influence: Array) -> float:
    """Variance of a ratio that is due to what is left of each cell beside the effects of its run and its image.

    Args:
        influence: float64[runs, images], what each cell adds to the estimate's error, by linearisation.
    """
    runs, images = influence.shape
    if min(runs, images) < 2:
        return 0.0
    left = influence - influence.mean(0) - influence.mean(1, keepdims=True) + influence.mean()
    return float((left**2).sum() * runs * images / ((runs - 1) * (images - 1)))


def _draw_counts(rng: np.random.Generator, resamples: int, clusters: int) -> NDArray[np.int64]:
    """How often each cluster is drawn in each resample: int64[resamples, clusters]."""
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)


def _weighted_medians(ordered: Array, weights: NDArray) -> Array:
    """Medians of ascending values, float64[n], under rows of weights, [resamples, n]: float64[resamples]."""
    cumulative = weights.cumsum(1)
    half = cumulative[:, -1:] / 2
    below, above = (cumulative >= half).argmax(1), (cumulative > half).argmax(1)
    return (ordered[below] + ordered[above]) / 2
