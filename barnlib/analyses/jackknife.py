"""Intervals and tests for statistics of a whole set of pictures, such as a similarity of two sets of hidden states.

In:  a statistic of each run, and its values when one picture after the other is left out.
Out: an estimate with an interval over pictures and seeds and a test against zero, for layer_estimates.py.

A statistic of pairs of pictures cannot be bootstrapped as it is: a resample holds pictures twice, and a picture is
perfectly similar to its double, which biases a kernel's alignment upwards. The jackknife leaves out and never doubles
(Tukey 1958; Efron & Stein 1981, Ann. Statist. 9:586, show that it errs on the wide side).

Pictures and seeds are crossed, and the interval is that of `intervals.student_interval`; only the
variance over pictures comes from another place. Coverage on simulated data with a known truth: tests/test_jackknife.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from barnlib.analyses.intervals import NOTHING, student_interval

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Jackknifed:
    """A statistic of several runs on the same pictures.

    Attributes:
        values: float64[runs], the statistic of each run.
        influence: float64[runs, pictures]; the squares of a row sum to the run's jackknife variance over pictures.
        pictures: their names.
        bounds: the statistic's range, to which its interval is cut.
    """

    values: Array
    influence: Array
    pictures: tuple[str, ...]
    bounds: tuple[float, float] = (-np.inf, np.inf)


@dataclass(frozen=True)
class Tested:
    """An estimate with its interval and the p-value of no difference from zero; NaN where there is none."""

    estimate: float
    se: float
    se_runs: float
    low: float
    high: float
    p: float
    pictures: int
    runs: int


def jackknifed(
    values: ArrayLike,
    left_out: ArrayLike,
    pictures: Sequence[str],
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Jackknifed:
    """Make a :class:`Jackknifed`.

    Args:
        values: float64[runs].
        left_out: float64[runs, pictures], the statistic of each run without each picture.
        pictures: as many different names.
        bounds: the statistic's range.

    Raises:
        ValueError: shapes that do not fit, or a picture named twice.
    """
    value, without = np.asarray(values, dtype=np.float64), np.asarray(left_out, dtype=np.float64)
    if without.shape != (len(value), len(pictures)):
        raise ValueError(
            f"left_out has shape {without.shape}; expected {(len(value), len(pictures))}: {len(value)} runs on "
            f"{len(pictures)} pictures"
        )
    if len(set(pictures)) < len(pictures):
        raise ValueError("a picture is named twice; leave out all items of a picture together")
    count = len(pictures)
    if count == 0:
        return Jackknifed(value, without, (), bounds)
    influence = np.sqrt((count - 1) / count) * (without.mean(1, keepdims=True) - without)
    return Jackknifed(value, influence, tuple(pictures), bounds)


def combined(parts: Sequence[Jackknifed], weights: Sequence[float]) -> Jackknifed:
    """The weighted sum of statistics, run by run, without bounds; what parts say of one picture stays together.

    Raises:
        ValueError: no parts, or parts with different numbers of runs.
    """
    runs = {len(part.values) for part in parts}
    if len(runs) != 1:
        raise ValueError(f"expected statistics of equally many runs, found {sorted(runs) or 'none'}")
    pictures = tuple(dict.fromkeys(name for part in parts for name in part.pictures))
    row = {name: number for number, name in enumerate(pictures)}
    influence = np.zeros((runs.pop(), len(pictures)))
    for part, weight in zip(parts, weights, strict=True):
        influence[:, [row[name] for name in part.pictures]] += weight * part.influence
    values = sum(weight * part.values for part, weight in zip(parts, weights, strict=True))
    return Jackknifed(np.asarray(values), influence, pictures)


def mean(parts: Sequence[Jackknifed]) -> Jackknifed:
    """The plain mean of statistics, within the bounds of the first. Raises as :func:`combined`."""
    whole = combined(parts, [1 / len(parts)] * len(parts) if parts else [])
    return replace(whole, bounds=parts[0].bounds)


def estimated(statistic: Jackknifed, *, level: float = 0.95) -> Tested:
    """The mean over runs, its interval and its test.

    With one run, interval and test speak of other pictures only. With one picture, or where a value is not finite,
    there are none. Where nothing varies, the interval is the estimate itself and p is 1 at zero and 0 elsewhere.
    """
    runs, pictures = statistic.influence.shape
    nothing = Tested(**vars(NOTHING), p=float("nan"), pictures=pictures, runs=runs)
    if runs == 0 or not np.isfinite(statistic.values).all():
        return nothing
    estimate = float(statistic.values.mean())
    if pictures < 2 or not np.isfinite(statistic.influence).all():
        return replace(nothing, estimate=estimate)
    together = statistic.influence.mean(0)
    by_run = cell = 0.0
    if runs > 1:
        by_run = float(statistic.values.var(ddof=1) / runs)
        cell = float(((statistic.influence - together) ** 2).sum() / (runs * (runs - 1)))
    by_picture = float((together**2).sum())
    interval = student_interval(
        estimate, by_picture, by_run, cell, pictures, runs, level=level, bounds=statistic.bounds
    )
    sides = [(interval.se, pictures - 1)] + ([(interval.se_runs, runs - 1)] if runs > 1 else [])
    p = max(_p(estimate, error, freedom) for error, freedom in sides)
    return Tested(**vars(interval), p=p, pictures=pictures, runs=runs)


def _p(estimate: float, error: float, freedom: int) -> float:
    if error == 0:
        return float(estimate == 0)
    return float(2 * stats.t.sf(abs(estimate) / error, freedom))
