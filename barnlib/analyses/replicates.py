"""Intervals for statistics that are no ratio of sums: each run's statistic, on resampled images.

In:  a statistic of each run, such as a calibration error, and the same on resampled images.
Out: the resampled images themselves, and an :class:`~barnlib.analyses.intervals.Interval` of the mean over runs, for
     calibration_tables.py; run_pairs.py takes the images alone, since its seeds stand on both sides of a pair.

The levels are those of intervals.py: images and runs are crossed clusters, both resampled with one draw fewer than
there are clusters (Rao & Wu 1988), and what is left of one run on one image beside the effects of both is taken off
once (McCullagh 2000). Every run, and every backbone, is computed on the same resampled images, so differences are
paired.
The bootstrap gives the standard error, not the centre: a calibration error is biased upward on a resample, which holds
images twice, and its percentiles would miss the truth.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from barnlib.analyses.intervals import NOTHING, Interval, Rng, student_interval

Array = NDArray[np.float64]


def image_draws(rng: Rng, resamples: int, images: int) -> Array:
    """How often each image is drawn in each resample of n - 1 of n images: float64[resamples, images].

    Raises:
        ValueError: fewer than two resamples.
    """
    if resamples < 2:
        raise ValueError(f"resamples must be 2 or more, not {resamples}")
    if images < 2:
        return np.ones((resamples, images))
    share = np.full(images, 1 / images)
    return np.random.default_rng(rng).multinomial(images - 1, share, size=resamples).astype(np.float64)


def mean_over_runs(
    values: ArrayLike,
    replicates: ArrayLike,
    images: int,
    *,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """The mean over runs of a statistic, with its interval over images and runs.

    Args:
        values: float64[runs], the statistic of each run; all NaN is returned if one does not exist.
        replicates: float64[resamples, runs], the same on resampled images. A resample on which a run's statistic does
            not exist is left out; where that is more than half of them, the interval is NaN.
        images: how many there are.
        level: nominal coverage. With one run the interval speaks of other images only.
        bounds: the statistic's range, to which the interval is cut.

    Raises:
        ValueError: shapes that do not belong together.
    """
    value, resampled = np.asarray(values, dtype=np.float64), np.asarray(replicates, dtype=np.float64)
    if value.ndim != 1 or resampled.ndim != 2 or resampled.shape[1] != len(value):
        raise ValueError(
            f"expected values [runs] and replicates [resamples, runs], found {value.shape} and {resampled.shape}"
        )
    if not len(value) or np.isnan(value).any():
        return NOTHING
    runs = len(value)
    whole = resampled[~np.isnan(resampled).any(1)]
    enough = images > 1 and len(whole) > max(1, len(resampled) / 2)
    by_image = float(np.var(whole.mean(1), ddof=1)) if enough else float("nan")
    by_run = float(np.var(value, ddof=1)) / runs if runs > 1 else 0.0
    cell = 0.0
    if enough and runs > 1:
        beside = whole - whole.mean(1, keepdims=True)
        cell = float(np.var(beside, axis=0, ddof=1).sum()) / (runs * (runs - 1))
    return student_interval(
        float(value.mean()), by_image, by_run, cell, images, runs, level=level, bounds=bounds
    )
